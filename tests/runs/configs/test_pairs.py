# Copyright (c) mmdckd contributors. All rights reserved.
"""Pairs of networks, the methods over them, and the files that run both."""

import copy
import functools
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
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmpretrain.datasets import CIFAR100, build_dataset
from mmpretrain.structures import DataSample
from sklearn.datasets import load_digits

from helpers.crd_networks import NETWORKS
from helpers.paths import ROOT
from mmdckd.engine.runner.phases import phases_of, with_untrained_peers
from mmdckd.registry import MODELS

BASE = 'configs/_base_'
CRD = f'{BASE}/models/crd'

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
#: Dataset, teacher, student.
PAIRS = [
    ('cifar100', 'wrn40_2', 'wrn16_2'),
    ('cifar100', 'wrn40_2', 'wrn40_1'),
    ('cifar100', 'resnet56', 'resnet20'),
    ('cifar100', 'resnet110', 'resnet20'),
    ('cifar100', 'resnet110', 'resnet32'),
    ('cifar100', 'resnet32x4', 'resnet8x4'),
    ('cifar100', 'vgg13', 'vgg8'),
    ('cifar100', 'vgg13', 'mobilenetv2'),
    ('cifar100', 'resnet50', 'mobilenetv2'),
    ('cifar100', 'resnet50', 'vgg8'),
    ('cifar100', 'resnet32x4', 'shufflenetv1'),
    ('cifar100', 'resnet32x4', 'shufflenetv2'),
    ('cifar100', 'wrn40_2', 'shufflenetv1'),
    ('glyph62', 'wrn40_2', 'wrn16_2'),
    ('glyph62', 'resnet56', 'resnet20'),
    ('glyph62', 'resnet32x4', 'resnet8x4'),
    ('glyph62_16x16', 'resnet14', 'resnet8'),
    ('fashion_mnist', 'resnet14', 'resnet8'),
]
CLASSES = dict(cifar100=100, glyph62=62, glyph62_16x16=62, fashion_mnist=10)
DCKD_TERMS = [
    f'collective.{{}}.loss_dckd.{term}'
    for term in ('teacher', 'collective', 'correlation')
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
    dckd=(4, True, DCKD_TERMS),
    finished=(1, True, DCKD_TERMS[:2]),
    held_out=(5, True, DCKD_TERMS),
)


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    """Be where the paths in the configs start."""
    monkeypatch.chdir(ROOT)


@functools.cache
def read(path):
    return Config.fromfile(path)


def merge(dataset, pair, method):
    """A method over a pair, as a sweep merges them."""
    cfg = copy.deepcopy(read(f'{BASE}/pairs/{dataset}/{pair}.py'))
    cfg.merge_from_dict(read(f'{BASE}/methods/{method}.py').to_dict())
    return cfg


def build(cfg):
    """The model of a config; a teacher, if it has one, has no weights."""
    if cfg.model.get('teacher'):
        cfg.model.pop('teacher_ckpt')
        cfg.model.allow_random_teacher = True
    if cfg.get('phases'):
        phases = phases_of(cfg)
        cfg = with_untrained_peers(phases[-1], phases)
    if 'data_preprocessor' in cfg:
        cfg.model.data_preprocessor = cfg.data_preprocessor
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(cfg.model)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def stems(*folders):
    return {
        osp.splitext(osp.basename(path))[0]
        for path in glob(osp.join(ROOT, 'configs', *folders, '*.py'))
    }


def files():
    """What runs a method of a pair: file, dataset, pair and method."""
    found = []
    for dataset, teacher, student in PAIRS:
        end = f'_{teacher}_{student}_{dataset}.py'
        for path in sorted(glob(osp.join(ROOT, 'configs', '*', f'*{end}'))):
            method = osp.basename(path)[: -len(end)]
            found.append(
                (osp.relpath(path, ROOT), dataset, f'{teacher}_{student}', method)
            )
    return found


def test_all_networks_pairs_and_methods_are_tested():
    assert stems('_base_', 'models', 'crd') == set(PARAMETERS)
    for dataset in CLASSES:
        assert stems('_base_', 'pairs', dataset) == {
            f'{teacher}_{student}' for d, teacher, student in PAIRS if d == dataset
        }
    assert stems('_base_', 'methods') == set(METHODS)


@pytest.mark.parametrize('name', PARAMETERS)
def test_parameters_of_a_network(name):
    network = build(Config.fromfile(f'{CRD}/{name}.py'))
    assert network.head.num_classes == 100
    # Exactly those of the reference, which are those in the notes.
    assert count(network) == count(NETWORKS[name](num_classes=100))
    assert abs(count(network) / 1e6 - PARAMETERS[name]) <= 0.5e-4


@pytest.mark.parametrize('dataset, teacher, student', PAIRS)
def test_pair_fits_the_training_of_its_teacher(dataset, teacher, student):
    cfg = read(f'{BASE}/pairs/{dataset}/{teacher}_{student}.py')
    taught = read(f'configs/teachers/{teacher}_{dataset}.py')
    assert cfg.model.teacher_ckpt == osp.join(
        taught.work_dir, f'epoch_{taught.train_cfg.max_epochs}.pth'
    )
    for key in ('train_dataloader', 'param_scheduler', 'data_preprocessor'):
        assert cfg[key] == taught[key]
    slow = student.startswith(('mobilenet', 'shufflenet'))
    expected = 0.01 if slow else taught.optim_wrapper.optimizer.lr
    assert cfg.optim_wrapper.optimizer.lr == expected
    assert cfg.model.teacher.cfg_path == f'{CRD}/{teacher}.py'
    assert cfg.model.architecture.cfg_path == f'{CRD}/{student}.py'
    classes = CLASSES[dataset]
    assert taught.model.head.num_classes == classes
    for network in (cfg.model.teacher, cfg.model.architecture):
        assert network.get('head', {}).get('num_classes', 100) == classes


def test_recipe_of_cifar100():
    cfg = read('configs/teachers/resnet56_cifar100.py')
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


@pytest.mark.parametrize('name', ['crd_bs64_60e', 'cosine_bs64_20e', 'cosine_bs64_30e'])
def test_schedule_ends_with_training(name):
    cfg = read(f'{BASE}/schedules/{name}.py')
    epochs = cfg.train_cfg.max_epochs
    if name.startswith('crd'):
        # CRD's 150, 180 and 210 of 240.
        for milestone, theirs in zip(cfg.param_scheduler.milestones, (150, 180, 210)):
            assert abs(milestone - theirs * epochs / 240) <= 0.5
    else:
        warmup, cosine = cfg.param_scheduler
        assert warmup.end == cosine.begin and cosine.end == epochs
        assert cosine.T_max == cosine.end - cosine.begin


@pytest.mark.parametrize('method', METHODS)
def test_method_learns(method):
    num_students, has_teacher, names = METHODS[method]
    model = build(merge('glyph62_16x16', 'resnet14_resnet8', method))
    assert len(model.cohort) == num_students
    assert bool(model.teachers) == has_teacher
    for student in model.cohort.students.values():
        assert student.backbone.layer1[0].conv1.out_channels == 6
    data = model.data_preprocessor(
        dict(
            inputs=torch.randint(0, 256, (4, 3, 16, 16)).to(torch.uint8),
            data_samples=[DataSample().set_gt_label(i) for i in range(4)],
        ),
        True,
    )
    for i, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(fold=i))
    # A ramp asks the runner for the time.
    hub = MessageHub.get_instance(f'method_{method}')
    hub.update_info_dict(dict(iter=1000, max_iters=2000, max_epochs=10))
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


@pytest.mark.parametrize('path, dataset, pair, method', files())
def test_file_is_the_method_over_the_pair(path, dataset, pair, method):
    assert Config.fromfile(path).to_dict() == merge(dataset, pair, method).to_dict()


def test_dckd_and_kd_have_a_file_for_every_pair():
    found = {(dataset, pair, method) for _, dataset, pair, method in files()}
    assert found >= {
        (dataset, f'{teacher}_{student}', method)
        for dataset, teacher, student in PAIRS
        for method in ('dckd', 'kd')
    }


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


@pytest.mark.parametrize(
    'name, size, numbers',
    [('glyph62', 32, (62 * 130, 62 * 33, 62)), ('glyph62_16x16', 16, (8000, 2000, 62))],
)
def test_splits_of_glyph62(glyphs, name, size, numbers):
    cfg = Config.fromfile(f'{BASE}/datasets/{name}.py')
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
    teacher, content = train(
        monkeypatch,
        'configs/teachers/resnet56_cifar100.py',
        tmp_path / 'teacher',
        cifar,
        **{'model.backbone.depth': 14},
    )
    assert 'head.fc.weight' in content['state_dict']

    for method in ('dckd', 'dkd', 'finished'):
        _, content = train(
            monkeypatch,
            f'configs/{method}/{method}_resnet56_resnet20_cifar100.py',
            tmp_path / method,
            cifar,
            **{
                'model.teacher.cfg_path': f'{CRD}/resnet14.py',
                'model.architecture.cfg_path': f'{CRD}/resnet8.py',
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
