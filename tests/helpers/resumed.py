# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs with everything that has a state or is random, and what they leave."""

import copy
import json
import os.path as osp
import random
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers.networks import shallow
from helpers.runs import loader, run_config, train
from mmdckd.io.latest import find_latest
from mmdckd.registry import TRANSFORMS

# Samples of the training: 3 batches of 16 and one of 4.
SAMPLES = 52


class Interrupted(Exception):
    """What ends a run in the middle."""


class Interrupt(Hook):
    """Ends a run before an iteration or a validation."""

    def __init__(self, stage, iteration):
        self.stage = stage
        self.iteration = iteration

    def before_train_iter(self, runner, **kwargs):
        if (self.stage, runner.iter) == ('iter', self.iteration):
            raise Interrupted

    def before_val(self, runner):
        if (self.stage, runner.iter) == ('val', self.iteration):
            raise Interrupted


@TRANSFORMS.register_module()
class Noise:
    """Draws from Python and from torch; the crop draws from NumPy."""

    def __call__(self, results):
        level = torch.rand(()).item() + random.random()
        results['img'] = (results['img'] * level).clip(0, 255)
        return results


def student():
    """A network of two stages that drops features at random."""
    cfg = shallow()
    cfg['head'] = dict(
        type='StackedLinearClsHead',
        num_classes=10,
        in_channels=8,
        mid_channels=[16],
        dropout_rate=0.5,
    )
    return cfg


def config(work_dir, by_epoch=True, workers=0, persistent=False, **kwargs):
    """A run with everything that has a state or is random."""
    train_loader = loader('train', indices=SAMPLES)
    train_loader['dataset']['pipeline'] = [
        dict(type='Resize', scale=12),
        dict(type='RandomCrop', crop_size=10, padding=1),
        dict(type='RandomFlip', prob=0.5),
        dict(type='mmdckd.Noise'),
        dict(type='PackInputs'),
    ]
    train_loader.update(
        batch_size=16, num_workers=workers, persistent_workers=persistent
    )
    val_loader = loader('val', indices=60)
    val_loader['dataset']['pipeline'][0]['scale'] = 10
    ramp = dict(end=2.5) if by_epoch else dict(end=10, by_epoch=False)
    cfg = run_config(
        work_dir,
        cohort=dict(
            architecture=student(),
            num_students=2,
            lagged_peers=dict(momentum=0.5, interval=3),
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                collective_losses=dict(
                    loss_dckd=dict(type='mmdckd.DCKDLoss', ramp=ramp)
                ),
            ),
        ),
        train_dataloader=train_loader,
        val_dataloader=val_loader,
        train_cfg=dict(by_epoch=True, max_epochs=3)
        if by_epoch
        else dict(by_epoch=False, max_iters=12, val_interval=4),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5),
            dict(
                type='ReduceOnPlateauLR',
                monitor='best/accuracy/top1',
                rule='greater',
                patience=1,
                factor=0.5,
            ),
        ],
        custom_hooks=[
            dict(type='mmdckd.ExactResumeHook'),
            dict(type='mmdckd.PreemptionHook'),
            dict(type='EMAHook', momentum=0.2),
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=by_epoch),
            checkpoint=dict(
                type='mmdckd.CohortCheckpointHook',
                by_epoch=False,
                interval=3,
                max_keep_ckpts=2,
                save_best='best/accuracy/top1',
            ),
        ),
    )
    cfg.model.teacher = student()
    cfg.data_preprocessor = dict(
        num_classes=10,
        mean=[80.0] * 3,
        std=[90.0] * 3,
        batch_augments=dict(
            augments=[dict(type='Mixup', alpha=1.0), dict(type='CutMix', alpha=1.0)],
            probs=[0.5, 0.4],
        ),
    )
    cfg.merge_from_dict(kwargs)
    return cfg


def interrupted(cfg, stage, iteration):
    """Start a run and interrupt it."""
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Interrupt(stage, iteration))
    try:
        runner.train()
    except Interrupted:
        end_workers(runner)
        return
    raise AssertionError('it was not interrupted')


def resumed(cfg, **kwargs):
    """Go on in the folder of a run."""
    cfg = copy.deepcopy(cfg)
    cfg.experiment_name += '_resumed'
    cfg.resume = True
    cfg.merge_from_dict(kwargs)
    runner = train(cfg)
    end_workers(runner)
    return runner


def end_workers(runner):
    """End workers that persist: where they are left to the garbage collector,
    torch waits for seconds."""
    runner.train_dataloader._iterator = None


def logged(work_dir):
    """The losses and metrics that the runs in a folder have logged, by their
    step; what was logged twice is the same."""
    records = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            for name in ('time', 'data_time', 'memory'):
                record.pop(name, None)
            key = 'train' if 'lr' in record else 'val', record['step']
            assert records.setdefault(key, record) == record
    return records


def final(work_dir):
    """What is left of a run: all of its last checkpoint but the times."""
    checkpoint = torch.load(find_latest(str(work_dir)), weights_only=True)
    hub = checkpoint['message_hub']
    info = {
        name: osp.basename(str(value))
        for name, value in hub['runtime_info'].items()
        if name
        in (
            'best_score',
            'best_ckpt',
            'best_student',
            'last_ckpt',
            'keep_ckpt_ids',
            'last_val_iter',
            'epoch',
            'iter',
        )
    }
    assert len(info) == 8
    parts = [
        part
        for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
        if part in checkpoint
    ]
    meta = {name: checkpoint['meta'][name] for name in ('epoch', 'iter')}
    return [checkpoint[part] for part in parts] + [
        info,
        meta,
        checkpoint['meta']['position'],
    ]


def assert_equal(one, other, path=''):
    """Equal to the bit, however deep."""
    assert type(one) is type(other), path
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f'{path}.{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other)):
            assert_equal(*pair, f'{path}.{index}')
    else:
        assert one == other, path
