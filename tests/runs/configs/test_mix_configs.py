# Copyright (c) mmdckd contributors. All rights reserved.
"""The configs that combine DCKD with MMRazor's losses build and train."""

import os.path as osp
from glob import glob

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope

from helpers.paths import ROOT
from mmdckd.registry import MODELS

CONFIGS = osp.join(ROOT, 'configs')
LOSSES = dict(
    dckd_dkd={'loss_dkd'},
    dckd_dist={'loss_dist'},
    dckd_fitnets={'loss_stage3', 'loss_stage4'},
    dckd_crd={'loss_crd'},
)
BATCH = 4


def load(name):
    """A config with a teacher of no weights, two students, and, for CRD, four
    images in all."""
    cfg = Config.fromfile(osp.join(CONFIGS, 'dckd', f'{name}_r34_r18_imagenet.py'))
    cfg.model.teacher.pretrained = False
    cfg.model.allow_random_teacher = True
    cfg.model.num_students = 2
    if name == 'dckd_crd':
        cfg.model.distiller.distill_losses.loss_crd.update(sample_n=BATCH, neg_num=3)
        cfg.train_dataloader.dataset.pipeline[-1].update(
            num_images=BATCH, num_negatives=3
        )
    return cfg


def batch(cfg):
    """Noise, through the end of the training pipeline, of 64 pixels."""
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline[-1:])
    random = np.random.default_rng(0)
    return default_collate(
        [
            pipeline(
                dict(
                    img=random.integers(0, 256, (64, 64, 3), np.uint8),
                    gt_label=i,
                    sample_idx=i,
                )
            )
            for i in range(BATCH)
        ]
    )


def test_all_are_here():
    end = '_r34_r18_imagenet.py'
    found = glob(osp.join(CONFIGS, 'dckd', 'dckd_*' + end))
    assert {osp.basename(path)[: -len(end)] for path in found} == set(LOSSES)


@pytest.mark.parametrize('name', LOSSES)
def test_adds_a_loss_to_dckd(name):
    mix = Config.fromfile(osp.join(CONFIGS, 'dckd', f'{name}_r34_r18_imagenet.py'))
    base = Config.fromfile(osp.join(CONFIGS, 'dckd_r34_r18_imagenet.py'))
    changed = {key for key in mix if mix[key] != base.get(key)}
    assert (
        {'model'}
        <= changed
        <= {
            'model',
            'train_dataloader',
            'stages',
            'pooled',
            'pipeline',
            'num_images',
            'num_negatives',
        }
    )
    assert {key for key in mix.model if mix.model[key] != base.model.get(key)} == {
        'distiller'
    }
    dckd = mix.model.distiller.collective_losses.loss_dckd
    assert dckd.type == 'mmdckd.DCKDLoss'


@pytest.mark.parametrize('name', LOSSES)
def test_trains(name):
    cfg = load(name)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        data = model.data_preprocessor(batch(cfg), True)
    model.train()
    losses = model(**data, mode='loss')
    for student in ('student0', 'student1'):
        found = {
            key.rpartition('.')[2]
            for key in losses
            if key.startswith(f'distill.{student}.')
        }
        assert found == LOSSES[name]
        assert f'collective.{student}.loss_dckd.collective' in losses
    total = sum(v.mean() for key, v in losses.items() if 'loss' in key)
    assert torch.isfinite(total)
    total.backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters()
    )
