# Copyright (c) mmdckd contributors. All rights reserved.
import importlib.util

import pytest

from helpers.paths import STUDIES
from helpers.runs import run_config, train
from mmdckd.engine.hooks import LimitHistoryHook

SCRIPT = STUDIES / 'timing' / 'memory_slope.py'


@pytest.fixture(scope='module')
def memory_slope():
    spec = importlib.util.spec_from_file_location('memory_slope', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def histories(runner):
    return {
        key: history.data[0].tolist()
        for key, history in runner.message_hub.log_scalars.items()
    }


@pytest.mark.parametrize('length', [0, -3, 1.5, True])
def test_a_length_of_no_values_is_refused(length):
    with pytest.raises(ValueError, match='max_length`: expected a positive integer'):
        LimitHistoryHook(length)


def test_the_latest_values_are_kept(tmp_path):
    every = histories(train(run_config(tmp_path)))
    hook = dict(type='mmdckd.LimitHistoryHook', max_length=3)
    cfg = run_config(tmp_path, custom_hooks=[hook])
    cfg.default_hooks.checkpoint.interval = 1
    runner = train(cfg)
    limited = histories(runner)
    assert limited.keys() == every.keys()
    assert len(every['train/loss']) == 8 and len(limited['train/loss']) == 3
    for key, values in limited.items():
        if 'time' not in key:
            assert values == every[key][-3:], key
    # Also of what a longer one has left in a checkpoint.
    cfg.update(
        load_from=f'{runner.work_dir}/epoch_1.pth',
        resume=True,
        experiment_name='limited',
        custom_hooks=[dict(hook, max_length=2)],
    )
    resumed = histories(train(cfg))
    assert resumed['train/loss'] == every['train/loss'][-2:]


@pytest.mark.slow
def test_no_tensor_stays(memory_slope):
    points = memory_slope.measure(40, 5)
    counts = [tensors for _, _, tensors in points]
    assert len(counts) == 8
    # Of the first ones, momentum and averages are made.
    assert len(set(counts[2:])) == 1, counts


@pytest.mark.slow
def test_a_thousand_iterations_leave_memory_flat(memory_slope):
    points = memory_slope.measure(1200, 30)
    # Bytes: 28 to 125 were met, and 400 where the log keeps every value.
    assert memory_slope.slope(points, 1) < 300
    assert memory_slope.slope(points, 2) == pytest.approx(0, abs=1e-6)
