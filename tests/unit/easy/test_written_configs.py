# Copyright (c) mmdckd contributors. All rights reserved.
"""The configs that are written for the data."""

import os.path as osp
from dataclasses import replace

import pytest
from mmengine.config import Config

from mmdckd.easy.changes import Changes
from mmdckd.easy.configs import student_config, write_config
from mmdckd.easy.networks import NamedNetwork
from mmdckd.easy.recipe import choose_recipe
from mmdckd.easy.source import Source
from mmdckd.easy.zoo import zoo_folder

SOURCE = Source('x', {}, {}, None, ['a', 'b'], {}, 32, 160)
NETWORK = NamedNetwork(dict(type='ImageClassifier'), 'net')


def settings(**given):
    return student_config(SOURCE, choose_recipe(SOURCE, **given), NETWORK, 2)


def kinds(pipeline):
    return [transform['type'] for transform in pipeline]


@pytest.mark.parametrize(
    'augmentation, size, expected',
    [
        ('none', 32, ['Resize']),
        ('shift', 32, ['Resize', 'RandomCrop']),
        ('flip', 32, ['Resize', 'RandomCrop', 'RandomFlip']),
        ('crop', 32, ['RandomResizedCrop', 'RandomFlip']),
        ('none', 128, ['ResizeEdge', 'CenterCrop']),
        ('crop', 128, ['RandomResizedCrop', 'RandomFlip']),
    ],
)
def test_augmentation(augmentation, size, expected):
    config = settings(augmentation=augmentation, image_size=size)
    pipeline = config['train_dataloader']['dataset']['pipeline']
    assert kinds(pipeline) == ['mmdckd.LoadImage', *expected, 'PackInputs']
    tested = config['val_dataloader']['dataset']['pipeline']
    assert kinds(tested)[1:-1] == (
        ['Resize'] if size == 32 else ['ResizeEdge', 'CenterCrop']
    )


def test_a_run_is_tested_on_the_test_images_if_there_are_any():
    source = replace(SOURCE, val=dict(data_root='v'), test=dict(data_root='t'))
    for given, root in ((source, 't'), (replace(source, test=None), 'v')):
        config = student_config(given, choose_recipe(given), NETWORK, 2)
        loaders = (config['val_dataloader'], config['test_dataloader'])
        assert [each['dataset']['data_root'] for each in loaders] == ['v', root]


def test_images_are_normalized_as_those_of_imagenet():
    path = osp.join(zoo_folder(), '_base_/datasets/imagenet_bs32.py')
    theirs, ours = Config.fromfile(path), settings()['data_preprocessor']
    for key in ('mean', 'std', 'to_rgb'):
        assert ours[key] == theirs.data_preprocessor[key]


def test_the_seed_is_the_given_one():
    config = student_config(SOURCE, choose_recipe(SOURCE), NETWORK, 2, seed=3)
    assert config['randomness'] == dict(seed=3)


def test_the_learning_rate_falls_until_the_end():
    warm_up, cosine = settings(epochs=20, warm_up=2)['param_scheduler']
    assert warm_up['end'] == cosine['begin'] == 2
    assert cosine['begin'] + cosine['T_max'] == cosine['end'] == 20


def test_optimizer_and_precision():
    wrapper = settings(optimizer='adamw', lr=0.1, amp=True)['optim_wrapper']
    assert wrapper['optimizer'] == dict(type='AdamW', lr=0.1, weight_decay=0.05)
    assert wrapper['type'].endswith('AmpOptimWrapper')


def test_what_is_changed_is_written_and_all_else_stays(tmp_path):
    path = str(tmp_path / 'students.py')
    plain = write_config(settings(), path)
    changes = Changes(
        {
            'optim_wrapper.optimizer': dict(_delete_=True, type='Adam', lr=0.5),
            'param_scheduler.1.eta_min': 0.01,
            'default_hooks.checkpoint.interval': 5,
            'env_cfg.cudnn_benchmark': True,
        }
    )
    cfg = write_config(settings(), path, changes)
    assert cfg.to_dict() == Config.fromfile(path).to_dict()
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=0.5)
    assert cfg.param_scheduler[1].eta_min == 0.01
    assert cfg.default_hooks.checkpoint.pop('interval') == 5
    plain.default_hooks.checkpoint.pop('interval', None)
    assert cfg.default_hooks == plain.default_hooks
    assert cfg.env_cfg.pop('cudnn_benchmark')
    plain.env_cfg.pop('cudnn_benchmark')
    changed = {'optim_wrapper', 'param_scheduler'}
    assert {key for key in cfg if cfg[key] != plain[key]} == changed


def test_fast_is_written(tmp_path):
    cfg = write_config(settings(), str(tmp_path / 'a.py'), Changes(fast=True))
    assert cfg.model.channels_last and cfg.optim_wrapper.optimizer.fused
    assert cfg.env_cfg.cudnn_benchmark


def test_a_teacher_has_a_model_of_its_own():
    options = {'model.num_students': 3, 'train_cfg.max_epochs': 2}
    assert Changes(options).without_model().options == {'train_cfg.max_epochs': 2}


def test_no_advice_contradicts_workers_that_were_chosen():
    assert settings()['default_hooks']['data_time'] is None
    assert 'data_time' not in settings(num_workers=2)['default_hooks']
