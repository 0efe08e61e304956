# Copyright (c) mmdckd contributors. All rights reserved.
import json

import pytest
import torch
from mmengine.runner import Runner

from helpers.networks import network
from helpers.poison import Poison
from helpers.runs import run_config


def start(cfg, spoilt, steps=()):
    """A runner, one of whose students will see nothing in some steps."""
    runner = Runner.from_cfg(cfg)
    Poison(runner.model.cohort.students[spoilt], steps)
    return runner


def config(tmp_path, **cohort):
    cfg = run_config(
        tmp_path,
        dict(architecture=network(), num_students=3, **cohort),
        custom_hooks=[dict(type='mmdckd.SaveOnNonFiniteHook')],
    )
    cfg.default_hooks.checkpoint.interval = 1
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    return cfg


def scalars(runner):
    (path,) = runner.visualizer._vis_backends.values()
    with open(path._scalar_save_file) as file:
        return [json.loads(line) for line in file]


def test_the_state_before_the_iteration_is_saved(tmp_path):
    cfg = config(tmp_path)
    runner = start(cfg, 'student2', {5})
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    path = f'{runner.work_dir}/stopped_at_iter_5.pth'
    assert 'in iteration 6 (epoch 2): the loss of student2' in str(error.value)
    assert f'{path} holds the state before' in str(error.value)
    # The digits are in no files.
    assert 'sample ' in str(error.value)

    saved = torch.load(path, weights_only=True)
    assert saved['meta']['iter'] == 5 and saved['meta']['epoch'] == 1
    weights = saved['state_dict']
    assert all(value.isfinite().all() for value in weights.values())
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    # Five iterations have been made, and not a sixth.
    name = 'architecture.students.student2.backbone.bn1.num_batches_tracked'
    assert weights[name] == 5
    assert len(saved['optimizer']['state'])

    cfg.update(load_from=path, resume=True)
    resumed = start(cfg, 'student2')
    resumed.train()
    assert resumed.epoch == 2
