# Copyright (c) mmdckd contributors. All rights reserved.
import hashlib
import os.path as osp
import pickle
import runpy
import sys
from glob import glob

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CIFAR100
from mmpretrain.structures import DataSample
from sklearn.datasets import load_digits

from helpers.crd_networks import NETWORKS
from mmdckd.registry import MODELS

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__)))))
RUN = osp.join('configs', 'cifar100', 'run.py')
NETWORK = osp.join('configs', 'cifar100', 'network.py')
MODELS_OF_CRD = 'configs/_base_/models/crd'

#: Parameters in millions, as the project's notes count them.
PARAMETERS = dict(
    resnet8=0.0839,
    resnet14=0.1811,
    resnet20=0.2783,
    resnet32=0.4728,
    resnet44=0.6672,
    resnet56=0.8616,
    resnet110=1.7366,
    resnet8x4=1.2335,
    resnet32x4=7.4339,
    resnet50=23.7053,
    wrn16_1=0.1809,
    wrn16_2=0.7033,
    wrn40_1=0.5698,
    wrn40_2=2.2552,
    vgg8=3.965,
    vgg11=9.2773,
    vgg13=9.4622,
    vgg16=14.7744,
    vgg19=20.0867,
    mobilenetv2=0.8128,
    shufflenetv1=0.9493,
    shufflenetv2=1.3555,
)
PAIRS = [
    ('wrn40_2', 'wrn16_2'),
    ('wrn40_2', 'wrn40_1'),
    ('resnet56', 'resnet20'),
    ('resnet110', 'resnet20'),
    ('resnet110', 'resnet32'),
    ('resnet32x4', 'resnet8x4'),
    ('vgg13', 'vgg8'),
    ('vgg13', 'mobilenetv2'),
    ('resnet50', 'mobilenetv2'),
    ('resnet50', 'vgg8'),
    ('resnet32x4', 'shufflenetv1'),
    ('resnet32x4', 'shufflenetv2'),
    ('wrn40_2', 'shufflenetv1'),
]
MLKD_TERMS = ('instance', 'batch', 'class')
#: Method to the number of students, whether there is a teacher, and losses.
METHODS = dict(
    plain=(1, False, []),
    kd=(1, True, ['collective.{}.loss_kd.teacher']),
    dml=(4, False, ['collective.{}.loss_dml.collective']),
    kdcl=(4, False, ['collective.{}.loss_kdcl.collective']),
    kd_dml=(
        4,
        True,
        ['collective.{}.loss_kd.teacher', 'collective.{}.loss_dml.collective'],
    ),
    dkd=(1, True, ['distill.{}.loss_dkd']),
    dist=(1, True, ['distill.{}.loss_dist']),
    lskd=(1, True, ['collective.{}.loss_kd.teacher']),
    dkd_lskd=(
        1,
        True,
        ['collective.{}.loss_dkd.target', 'collective.{}.loss_dkd.non_target'],
    ),
    mlkd=(1, True, [f'collective.{{}}.loss_mlkd.{term}' for term in MLKD_TERMS]),
    mlkd_lskd=(1, True, [f'collective.{{}}.loss_mlkd.{term}' for term in MLKD_TERMS]),
    wkd=(
        1,
        True,
        ['collective.{}.loss_wkd.target', 'collective.{}.loss_wkd.transport'],
    ),
    dckd=(
        4,
        True,
        [
            'collective.{}.loss_dckd.teacher',
            'collective.{}.loss_dckd.collective',
            'collective.{}.loss_dckd.correlation',
        ],
    ),
)


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    """Be where the paths in the configs start."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def load(monkeypatch):

    def load(path, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return Config.fromfile(path)

    return load


def build(cfg):
    """The model of a config; a teacher, if it has one, has no weights."""
    if cfg.model.get('teacher'):
        cfg.model.pop('teacher_ckpt')
        cfg.model.allow_random_teacher = True
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def stems(*folders):
    return {
        osp.splitext(osp.basename(path))[0]
        for path in glob(osp.join(ROOT, 'configs', *folders, '*.py'))
    }


def test_all_networks_pairs_and_methods_are_tested():
    assert stems('_base_', 'models', 'crd') == set(PARAMETERS)
    assert stems('cifar100', '_base_', 'pairs') == {
        f'{teacher}_{student}' for teacher, student in PAIRS
    }
    assert stems('_base_', 'methods') == set(METHODS)


@pytest.mark.parametrize('name', PARAMETERS)
def test_parameters_of_a_network(load, name):
    network = build(load(NETWORK, NETWORK=name))
    assert network.head.num_classes == 100
    # Exactly those of the reference, which are those in the notes.
    assert count(network) == count(NETWORKS[name](num_classes=100))
    assert abs(count(network) / 1e6 - PARAMETERS[name]) <= 0.5e-4


def test_recipe(load):
    for cfg in (load(NETWORK), load(RUN)):
        assert cfg.optim_wrapper.optimizer == dict(
            type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4
        )
        assert cfg.train_cfg.max_epochs == 240
        assert cfg.param_scheduler.milestones == [150, 180, 210]
        assert cfg.param_scheduler.gamma == 0.1
        assert cfg.param_scheduler.by_epoch
        assert cfg.train_dataloader.batch_size == 64
        assert cfg.auto_scale_lr.base_batch_size == 64
        crop, flip, pack = cfg.train_dataloader.dataset.pipeline
        assert crop == dict(type='RandomCrop', crop_size=32, padding=4)
        assert flip == dict(type='RandomFlip', prob=0.5, direction='horizontal')
        assert cfg.test_dataloader.dataset.split == 'test'
        assert cfg.test_evaluator.topk == (1, 5)


@pytest.mark.parametrize('teacher, student', PAIRS)
def test_pair(load, teacher, student):
    cfg = load(RUN, PAIR=f'{teacher}_{student}', METHOD='kd')
    slow = student.startswith(('mobilenet', 'shufflenet'))
    assert cfg.optim_wrapper.optimizer.lr == (0.01 if slow else 0.05)
    assert cfg.model.teacher.cfg_path == f'{MODELS_OF_CRD}/{teacher}.py'
    assert cfg.model.architecture.cfg_path == f'{MODELS_OF_CRD}/{student}.py'


def test_teacher_is_where_its_training_leaves_it(load):
    taught = load(NETWORK, NETWORK='wrn40_2')
    cfg = load(RUN, PAIR='wrn40_2_wrn40_1')
    assert cfg.model.teacher_ckpt == osp.join(
        taught.work_dir, f'epoch_{taught.train_cfg.max_epochs}.pth'
    )


@pytest.mark.parametrize('method', METHODS)
def test_method(load, method):
    num_students, has_teacher, names = METHODS[method]
    cfg = load(RUN, METHOD=method)
    assert cfg.work_dir == f'work_dirs/cifar100/resnet56_resnet20_{method}'
    model = build(cfg)
    assert len(model.cohort) == num_students
    assert bool(model.teachers) == has_teacher
    data = model.data_preprocessor(
        dict(
            inputs=torch.randint(0, 256, (4, 3, 32, 32)).to(torch.uint8),
            data_samples=[DataSample().set_gt_label(i) for i in range(4)],
        ),
        True,
    )
    losses = {
        key: value for key, value in model(**data, mode='loss').items() if 'loss' in key
    }
    students = model.cohort.names
    assert set(losses) == {
        name.format(student)
        for name in ['student.{}.loss', *names]
        for student in students
    }
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_pair_and_method_are_merged_like_configs(load):
    """As a benchmark merges them: the method over the pair."""
    for pair, method in [('vgg13_vgg8', 'dml'), ('vgg13_vgg8', 'dist')]:
        merged = Config.fromfile(f'configs/cifar100/_base_/pairs/{pair}.py')
        merged.merge_from_dict(
            Config.fromfile(f'configs/_base_/methods/{method}.py').to_dict()
        )
        composed = load(RUN, PAIR=pair, METHOD=method)
        assert merged.model == composed.model


@pytest.mark.parametrize(
    'variables',
    [dict(PAIR='resnet20_resnet56'), dict(METHOD='magic'), dict(NETWORK='resnet21')],
)
def test_unknown_name(load, variables):
    path = NETWORK if 'NETWORK' in variables else RUN
    with pytest.raises(FileNotFoundError, match=list(variables.values())[0]):
        load(path, **variables)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Files in the format of CIFAR-100, with real digits in them.

    Only their checksums, which no other images could have, are not asked for.
    """
    digits = load_digits()
    images = (
        np.repeat(np.kron(digits.images * 15.9, np.ones((1, 4, 4)))[:, None], 3, 1)
        .astype(np.uint8)
        .reshape(-1, 3 * 32 * 32)
    )
    folder = tmp_path / 'cifar-100-python'
    folder.mkdir()
    for name, part in dict(train=slice(0, 96), test=slice(96, 144)).items():
        labels = (digits.target[part] * 10).tolist()
        with open(folder / name, 'wb') as file:
            pickle.dump(dict(data=images[part], fine_labels=labels), file)
    monkeypatch.setattr(CIFAR100, 'train_list', [['train', None]])
    monkeypatch.setattr(CIFAR100, 'test_list', [['test', None]])
    return tmp_path


def train(monkeypatch, config, work_dir, root, **options):
    options.update(
        {
            'train_dataloader.dataset.data_root': root,
            'val_dataloader.dataset.data_root': root,
            'test_dataloader.dataset.data_root': root,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'train_dataloader.batch_size': 32,
            'train_cfg.max_epochs': 1,
            # Of 100 classes there are images of 10.
            'default_hooks.check_labels.allow_missing': True,
        }
    )
    argv = ['train.py', config, '--work-dir', str(work_dir), '--cfg-options']
    argv += [f'{key}={value}' for key, value in options.items()]
    monkeypatch.syspath_prepend(osp.join(ROOT, 'tools'))
    monkeypatch.setattr(sys, 'argv', argv)
    runpy.run_path(osp.join(ROOT, 'tools', 'train.py'), run_name='__main__')
    path = osp.join(work_dir, 'epoch_1.pth')
    return path, torch.load(path, weights_only=False)


def fingerprint(state_dict, prefix):
    digest = hashlib.sha256()
    for key, value in state_dict.items():
        if key.startswith(prefix) and 'num_batches' not in key:
            digest.update(value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.slow
def test_a_network_and_then_its_students_train(cifar, tmp_path, monkeypatch):
    """From files in the format of CIFAR-100 to a trained cohort."""
    monkeypatch.setenv('NETWORK', 'resnet14')
    teacher, content = train(monkeypatch, NETWORK, tmp_path / 'teacher', cifar)
    assert 'head.fc.weight' in content['state_dict']

    for method in ('dckd', 'dkd'):
        monkeypatch.setenv('METHOD', method)
        _, content = train(
            monkeypatch,
            RUN,
            tmp_path / method,
            cifar,
            **{
                'model.teacher.cfg_path': f'{MODELS_OF_CRD}/resnet14.py',
                'model.architecture.cfg_path': f'{MODELS_OF_CRD}/resnet8.py',
                'model.teacher_ckpt': teacher,
            },
        )
        assert content['meta']['epoch'] == 1 and content['meta']['iter'] == 3
        names = METHODS[method][0]
        prints = {
            fingerprint(content['state_dict'], f'architecture.students.student{i}.')
            for i in range(names)
        }
        assert len(prints) == names
        assert len(content['meta']['dataset_meta']['classes']) == 100
        scalars = content['message_hub']['log_scalars']
        assert {
            f'val/{member}/accuracy/top5' for member in ('student0', 'teacher', 'best')
        } <= set(scalars)
