# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.datasets import build_dataset

from helpers.crd_networks import NETWORKS
from mmdckd.registry import MODELS

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__)))))
FOLDER = osp.join('configs', 'glyph62')
#: Teacher, student, and what comes after their names.
PAIRS = [
    ('resnet14', 'resnet8', '_16x16'),
    ('wrn40_2', 'wrn16_2', ''),
    ('resnet56', 'resnet20', ''),
    ('resnet32x4', 'resnet8x4', ''),
]


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    """Be where the paths in the configs start."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def load(monkeypatch):

    def load(name, **variables):
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        return Config.fromfile(osp.join(FOLDER, name))

    return load


@pytest.fixture(scope='module')
def glyphs(tmp_path_factory):
    """Images of noise in the files of a set."""
    root = tmp_path_factory.mktemp('glyph62')
    rng = np.random.default_rng(0)
    for split, fonts in dict(train=130, val=33, test=1).items():
        np.savez(
            root / f'{split}.npz',
            images=rng.integers(0, 256, (62 * fonts, 32, 32), np.uint8),
            labels=np.tile(np.arange(62, dtype=np.uint8), fonts),
            fonts=np.repeat(np.arange(fonts, dtype=np.uint16), 62),
        )
    return str(root)


def build(model):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(model)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_all_pairs_are_tested():
    assert {
        f'{teacher}_{student}{small}.py' for teacher, student, small in PAIRS
    } == set(os.listdir(osp.join(FOLDER, '_base_', 'pairs')))


@pytest.mark.parametrize('teacher, student, small', PAIRS)
def test_pair(load, teacher, student, small):
    cfg = load('run.py', PAIR=f'{teacher}_{student}{small}', METHOD='kd')
    taught = load(f'network{small}.py', NETWORK=teacher)
    assert cfg.model.teacher_ckpt == osp.join(
        taught.work_dir, f'epoch_{taught.train_cfg.max_epochs}.pth'
    )
    for key in ('train_dataloader', 'param_scheduler', 'optim_wrapper'):
        assert cfg[key] == taught[key]
    reference = count(NETWORKS[teacher](num_classes=62))
    assert count(build(taught.model)) == reference

    cfg.model.pop('teacher_ckpt')
    cfg.model.update(allow_random_teacher=True, data_preprocessor=cfg.data_preprocessor)
    model = build(cfg.model)
    assert count(model.teachers[0].model) == reference
    (network,) = model.cohort.students.values()
    assert network.head.num_classes == 62
    if small:
        assert network.backbone.layer1[0].conv1.out_channels == 6
    else:
        assert count(network) == count(NETWORKS[student](num_classes=62))


@pytest.mark.parametrize(
    'name, size, numbers',
    [
        ('network.py', 32, (62 * 130, 62 * 33, 62)),
        ('network_16x16.py', 16, (8000, 2000, 62)),
    ],
)
def test_splits(load, glyphs, name, size, numbers):
    cfg = load(name)
    for split, number in zip(('train', 'val', 'test'), numbers):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = glyphs
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = build_dataset(dataset)
        assert dataset.split == split and len(dataset) == number
        image = dataset[3]['inputs']
        assert image.shape == (3, size, size)
        if split != 'train':
            original = torch.from_numpy(dataset.get_data_info(3)['img'])
            assert torch.equal(image, original.permute(2, 0, 1))


@pytest.mark.parametrize('name', ['network.py', 'network_16x16.py'])
def test_schedule_ends_with_training(load, name):
    cfg = load(name)
    epochs = cfg.train_cfg.max_epochs
    if name == 'network.py':
        # CRD's 150, 180 and 210 of 240.
        for milestone, theirs in zip(cfg.param_scheduler.milestones, (150, 180, 210)):
            assert abs(milestone - theirs * epochs / 240) <= 0.5
    else:
        warmup, cosine = cfg.param_scheduler
        assert warmup.end == cosine.begin and cosine.end == epochs
        assert cosine.T_max == cosine.end - cosine.begin
