# Copyright (c) mmdckd contributors. All rights reserved.
"""The main example in MMEngine's new style, which imports what it names."""

import os
import subprocess

import pytest
from mmengine.config import Config
from PIL import Image

from helpers import warm
from helpers.paths import ROOT

NAME = 'dckd_r34_r18_imagenet'
USER = """
from mmengine.config import read_base
from mmpretrain.datasets import CustomDataset
from mmpretrain.models import (GlobalAveragePooling, ImageClassifier,
                               LinearClsHead, ResNet_CIFAR)

with read_base():
    from mmdckd.configs.dckd_r34_r18_imagenet_lazy import *

network = dict(
    type=ImageClassifier,
    backbone=dict(
        type=ResNet_CIFAR, depth=18, stem_channels=2, base_channels=2),
    neck=dict(type=GlobalAveragePooling),
    head=dict(type=LinearClsHead, num_classes=2, in_channels=16, topk=(1, )))
model['teacher'] = model['architecture'] = network
model.update(num_students=2, allow_random_teacher=True)
data_preprocessor.update(num_classes=2)
train_pipeline[1]['scale'] = 32
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader.update(batch_size=4, num_workers=0)
    loader['dataset'] = dict(
        type=CustomDataset,
        data_root='data',
        pipeline=loader['dataset']['pipeline'])
val_evaluator.update(topk=(1, ))
test_evaluator.update(topk=(1, ))
train_cfg.update(max_epochs=1)
"""


def plain(value):
    """A config with the last name of each type, and without scopes."""
    if isinstance(value, dict):
        return {
            key: each.split('.')[-1] if key == 'type' else plain(each)
            for key, each in value.items()
            if key != '_scope_'
        }
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def test_is_equal_to_the_classic_one():
    new = Config.fromfile(ROOT / 'mmdckd' / 'configs' / f'{NAME}_lazy.py')
    assert isinstance(new.model.type, type)
    assert isinstance(new.train_dataloader.dataset.type, type)
    new = new.to_dict()
    old = Config.fromfile(ROOT / 'configs' / f'{NAME}.py').to_dict()
    # Parts that are named, and are what the rest is made of.
    for part in ('dataset_type', 'train_pipeline'):
        new.pop(part), old.pop(part)
    assert plain(new) == plain(old)


@pytest.fixture
def call(tmp_path):
    for label, color in dict(daisy='white', tulip='red').items():
        (tmp_path / 'data' / label).mkdir(parents=True)
        for i in range(2):
            image = Image.new('RGB', (48, 48), color)
            image.save(tmp_path / 'data' / label / f'{i}.png')
    (tmp_path / 'user.py').write_text(USER)

    def call(tool, *arguments):
        process = subprocess.run(
            [warm.python(), '-W', 'ignore', str(ROOT / 'tools' / tool), *arguments],
            cwd=tmp_path,
            env=dict(os.environ, CUDA_VISIBLE_DEVICES=''),
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr[-3000:]
        return process.stdout

    return call


@pytest.mark.slow
def test_a_config_that_inherits_is_shown_trained_and_exported(call, tmp_path):
    assert 'student1' in call('print_config.py', 'user.py')
    call('train.py', 'user.py')
    call(
        'export_student.py',
        'work_dirs/user/epoch_1.pth',
        '--student',
        'best',
        '--out',
        'exported',
    )
    (exported,) = (tmp_path / 'exported').glob('*.py')
    for part in ('mmdckd', 'mmrazor'):
        assert f"'{part}." not in exported.read_text()
    call('report.py', 'work_dirs/user')
    assert (tmp_path / 'work_dirs/user/report/report.html').is_file()
