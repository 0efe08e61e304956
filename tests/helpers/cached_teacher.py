# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs whose teacher is cached for random augmentation."""

import copy

import torch
from mmengine.runner import Runner

from helpers.networks import shallow
from helpers.resumed import end_workers, student
from helpers.runs import loader, run_config

PIPELINE = [
    dict(type='RandomResizedCrop', scale=12, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        magnitude_level=9,
    ),
    dict(type='PackInputs'),
]
MIX = dict(augments=[dict(type='Mixup', alpha=1.0), dict(type='CutMix', alpha=1.0)])
TEACHER = shallow()
#: The batches that the teacher sees in a run that stores logits: 2 images that
#: tell the number of classes, and 20 images in two epochs.
FIRST = [2, *[8, 8, 4] * 2]
#: And in a run that finds all of them: one batch is compared.
FOUND = [2, 8]


def save_teacher(folder):
    """Save the weights of a teacher, so that every run has the same."""
    from mmdckd.models.networks import build_network, resolve_network

    torch.manual_seed(3)
    model = build_network(resolve_network(TEACHER, 'teacher'))
    model.init_weights()
    path = folder / 'teacher.pth'
    torch.save(model.state_dict(), path)
    return str(path)


def config(tmp_path, teacher, cached=True, epochs=2, mix=None, save=99, **options):
    """The config of a run, with options of the hook."""
    hook = dict(
        type='mmdckd.TeacherCacheHook', folder=str(tmp_path / 'logits'), **options
    )
    cfg = run_config(
        tmp_path,
        # With dropout: a run draws the same, whether its teacher runs or not.
        dict(architecture=student(), num_students=2),
        custom_hooks=[hook] if cached else [],
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=dict(
            exact_resume=dict(type='mmdckd.ExactResumeHook'),
            checkpoint=dict(
                type='mmdckd.CohortCheckpointHook', by_epoch=False, interval=save
            ),
        ),
    )
    cfg.model.teacher = dict(TEACHER, pretrained=teacher)
    cfg.train_dataloader = dict(loader('train', indices=20), batch_size=8)
    cfg.train_dataloader.dataset.pipeline = copy.deepcopy(PIPELINE)
    if mix:
        cfg.data_preprocessor.batch_augments = copy.deepcopy(mix)
    return cfg


def train(cfg):
    """Train.

    Returns:
        tuple: The weights, and the sizes of the batches that the teacher has seen.
    """
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.teachers[0].model.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    runner.train()
    end_workers(runner)
    return runner.model.state_dict(), seen


def equal(one, other):
    """Whether two dicts of tensors are bitwise equal."""
    return all(torch.equal(one[key], other[key]) for key in other)
