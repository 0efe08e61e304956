# Copyright (c) mmdckd contributors. All rights reserved.
"""Averaged weights in two processes, each of which has statistics of its
own."""

import pytest
import torch
from mmengine.runner import Runner

from helpers.processes import run_processes
from helpers.runs import run_config
from mmdckd.engine.cpu_processes import use_cpu_processes

KEY = 'architecture.students.student0.backbone.bn1.running_mean'


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
