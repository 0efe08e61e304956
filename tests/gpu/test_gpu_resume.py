# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs that stop and go on, to the bit."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from long_runs import exact

from helpers.resumed import assert_equal, final, interrupted, logged, resumed
from helpers.runs import train
from mmdckd.engine.optimizers.cpu_amp import amp_type

pytestmark = pytest.mark.gpu


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run that never stopped."""
    cfg = exact(tmp_path_factory.mktemp('whole'))
    train(cfg)
    return logged(cfg.work_dir), final(cfg.work_dir)


@pytest.mark.parametrize('stage, iteration', [('iter', 7), ('val', 8)])
def test_a_resumed_run_is_the_run_that_never_stopped(
    device, whole, tmp_path, stage, iteration
):
    cfg = exact(tmp_path)
    interrupted(cfg, stage, iteration)
    runner = resumed(cfg)
    assert torch.are_deterministic_algorithms_enabled()
    assert next(runner.model.parameters()).device == device
    assert_equal(logged(cfg.work_dir), whole[0])
    assert_equal(final(cfg.work_dir), whole[1])


def test_mixed_precision_is_resumed(tmp_path):
    """With the scaler, which counts its steps."""
    options = {
        'optim_wrapper.type': amp_type(),
        'optim_wrapper.dtype': 'float16',
        'train_cfg.max_epochs': 2,
    }
    cfg, stopped = (exact(tmp_path / name, **options) for name in 'ab')
    train(cfg)
    interrupted(stopped, 'iter', 7)
    resumed(stopped)
    assert_equal(logged(stopped.work_dir), logged(cfg.work_dir))
    assert_equal(final(stopped.work_dir), final(cfg.work_dir))


def start(device, folder, *arguments):
    child = Path(__file__).with_name('child.py')
    command = [sys.executable, str(child), device.type, str(folder)]
    with open(folder / 'printed.txt', 'a') as file:
        return subprocess.Popen(
            [*command, *arguments], stdout=file, stderr=subprocess.STDOUT
        )


def printed(folder):
    return (folder / 'printed.txt').read_text()[-5000:]


def steps_of(folder):
    """The steps that a run which may be writing has logged."""
    try:
        return [step for kind, step in logged(folder) if kind == 'train']
    except ValueError:  # half a line
        return []


def test_a_run_that_is_told_to_end_is_resumed(device, whole, tmp_path):
    """In processes of their own."""
    process = start(device, tmp_path)
    try:
        while max(steps_of(tmp_path), default=0) < 2:
            assert process.poll() is None, printed(tmp_path)
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 75, printed(tmp_path)
        assert 'Interrupted by SIGTERM after iteration' in printed(tmp_path)
        assert 2 <= max(steps_of(tmp_path)) < 12
        process = start(device, tmp_path, '--resume')
        assert process.wait() == 0, printed(tmp_path)
    finally:
        process.kill()
        process.wait()
    assert_equal(logged(tmp_path), whole[0])
    assert_equal(final(tmp_path), whole[1])
