# Copyright (c) mmdckd contributors. All rights reserved.
"""Averaged weights in two processes, each of which has statistics of its
own."""

import pytest
import torch
from mmengine.runner import Runner

from helpers.processes import run_processes
from helpers.resumed import interrupted
from helpers.runs import run_config, train
from mmdckd.engine.cpu_processes import use_cpu_processes

KEY = 'architecture.students.student0.backbone.bn1.running_mean'
WEIGHT = 'architecture.students.student0.backbone.conv1.weight'


def run(rank, number, cfg):
    cfg.launcher = 'pytorch'
    use_cpu_processes(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    hook = next(h for h in runner.hooks if hasattr(h, 'ema_model'))
    scalars = runner.message_hub.log_scalars
    return dict(
        averaged=hook.ema_model.module.state_dict()[KEY].numpy(),
        own=runner.model.module.state_dict()[KEY].numpy(),
        top1=scalars['val/student0/accuracy/top1'].current(),
    )


@pytest.mark.parametrize(
    'by_epoch', [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_two_processes_measure_the_same_statistics(by_epoch, tmp_path):
    train_cfg = (
        dict(by_epoch=True, max_epochs=2)
        if by_epoch
        else dict(by_epoch=False, max_iters=6, val_interval=3)
    )
    cfg = run_config(
        tmp_path,
        train_cfg=train_cfg,
        custom_hooks=[
            dict(type='mmdckd.WeightAverageHook', momentum=0.05),
            dict(type='mmdckd.ExactResumeHook'),
        ],
    )
    cfg.default_hooks.checkpoint.update(by_epoch=by_epoch, interval=1)
    cfg.work_dir = str(tmp_path)
    first, second = run_processes(run, 2, cfg)
    assert (first['own'] != second['own']).any()
    assert (first['averaged'] == second['averaged']).all()
    assert first['top1'] == second['top1']
    name = 'epoch_2.pth' if by_epoch else 'iter_6.pth'
    saved = torch.load(tmp_path / name, weights_only=True)['state_dict'][KEY]
    assert (saved.numpy() == first['averaged']).all()


@pytest.mark.slow
def test_one_process_measures_what_two_left(tmp_path):
    cfg = run_config(
        tmp_path,
        train_cfg=dict(by_epoch=False, max_iters=5),
        custom_hooks=[
            dict(type='mmdckd.WeightAverageHook', momentum=0.05, interval=4),
            dict(type='mmdckd.ExactResumeHook'),
        ],
    )
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=4, save_best=None)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.work_dir = str(tmp_path)
    run_processes(interrupted_before_the_end, cfg)
    left = averages_in(tmp_path / 'iter_4.pth')

    cfg.update(resume=True, experiment_name='alone')
    cfg.default_hooks.checkpoint.interval = 5
    train(cfg)
    measured = averages_in(tmp_path / 'iter_5.pth')
    assert torch.equal(left.pop(WEIGHT), measured.pop(WEIGHT))
    assert not torch.equal(left[KEY], measured[KEY])


def interrupted_before_the_end(rank, cfg):
    """A run whose last checkpoint is in the middle of an epoch."""
    cfg.launcher = 'pytorch'
    use_cpu_processes(cfg)
    interrupted(cfg, 'iter', 4)


def averages_in(path):
    state = torch.load(path, weights_only=True)['state_dict']
    return {name: state[name] for name in (WEIGHT, KEY)}
