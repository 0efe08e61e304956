# Copyright (c) mmdckd contributors. All rights reserved.
"""The pairs of networks on ImageNet, and the stronger recipe."""

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from helpers.paths import CONFIGS
from mmdckd.registry import MODELS

STRONG = 'dckd/dckd_r34_r18_strong_imagenet'
SCHEDULE = '_base_/schedules/imagenet_bs256_200e_coslr_warmup.py'
#: Config to the student's of MMPretrain, and the sizes torchvision documents
#: of the teacher and the student.
PAIRS = {
    'dckd/dckd_r50_mobilenetv2_imagenet': (
        'mobilenet_v2/mobilenet-v2_8xb32_in1k',
        25_557_032,
        3_504_872,
    ),
    'dckd/dckd_r50_shufflenetv2_imagenet': (
        'shufflenet_v2/shufflenet-v2-1x_16xb64_in1k',
        25_557_032,
        2_278_604,
    ),
    # The teacher as its metafile says, the student as timm has it.
    'dckd/dckd_convnext_small_deit_tiny_imagenet': (
        'deit/deit-tiny-distilled_4xb256_in1k',
        50_223_688,
        5_910_800,
    ),
}


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)


def load(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def build(cfg):
    """The model of a config whose teacher has no weights."""
    cfg.model.teacher.pretrained = False
    cfg.model.allow_random_teacher = True
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def unscoped(cfg):
    """A part of a config without the scopes that inheriting adds."""
    if isinstance(cfg, list):
        return [unscoped(each) for each in cfg]
    if isinstance(cfg, dict):
        return {k: unscoped(v) for k, v in cfg.items() if k != '_scope_'}
    return cfg


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize('name', [*PAIRS, STRONG])
def test_students_of_the_documented_size_learn(name):
    cfg = load(name)
    assert cfg.model.num_students == 4
    assert cfg.model.teacher.pretrained is True
    cfg.model.num_students = 2
    model = build(cfg)
    student = model.cohort.students['student0']
    if name == STRONG:
        loss = student.head.loss_module
        assert type(loss).__name__ == 'LabelSmoothLoss'
        assert loss.label_smooth_val == 0.1
    else:
        assert (count(model.teachers[0].model), count(student)) == PAIRS[name][1:]
    data = model.data_preprocessor(
        dict(
            inputs=torch.randint(0, 256, (2, 3, 64, 64)).to(torch.uint8),
            data_samples=[DataSample().set_gt_label(i) for i in range(2)],
        ),
        True,
    )
    losses = model(**data, mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in model.parameters()
    )


@pytest.mark.parametrize('name', PAIRS)
def test_recipe_is_that_of_the_student_alone(name):
    ours, theirs = load(name), get_config(f'mmpretrain::{PAIRS[name][0]}.py')
    for key in (
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
        'auto_scale_lr',
        'data_preprocessor',
    ):
        assert unscoped(ours[key]) == unscoped(theirs[key]), key
    for split in ('train', 'val', 'test'):
        key = f'{split}_dataloader'
        assert ours[key].batch_size == theirs[key].batch_size
    assert ours.val_cfg.type == 'mmdckd.CollectiveValLoop'


def test_the_strong_recipe():
    cfg, plain = load(STRONG), load('dckd_r34_r18_imagenet')
    theirs = get_config('mmpretrain::' + SCHEDULE)
    assert cfg.optim_wrapper == plain.optim_wrapper
    for key in ('optim_wrapper', 'train_cfg'):
        assert unscoped(cfg[key]) == unscoped(theirs[key]), key
    for ours, other in zip(cfg.param_scheduler, theirs.param_scheduler):
        assert dict(dict(begin=0, by_epoch=True), **ours) == dict(
            dict(begin=0), **other
        )
