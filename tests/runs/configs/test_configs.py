# Copyright (c) mmdckd contributors. All rights reserved.
import functools
import os.path as osp

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmpretrain.datasets import build_dataset
from mmpretrain.structures import DataSample

from helpers.paths import ROOT
from mmdckd.models.losses import DCKDLoss
from mmdckd.registry import HOOKS, LOOPS, MODELS

CONFIGS = osp.join(ROOT, 'configs')
DIGITS, IMAGENET = 'dckd_r34_r18_digits.py', 'dckd_r34_r18_imagenet.py'
TEACHER = osp.join('teachers', 'resnet34_digits.py')
BASELINES = osp.join('{0}', '{0}_r18_digits.py')
NAMES = [
    DIGITS,
    IMAGENET,
    TEACHER,
    *(BASELINES.format(method) for method in ('plain', 'kd', 'dml')),
]


def load(name):
    return Config.fromfile(osp.join(CONFIGS, name))


@functools.cache
def build(name):
    """The model of a config; a teacher, if it has one, has no weights."""
    cfg = load(name)
    if cfg.model.get('teacher'):
        cfg.model.pop('teacher_ckpt', None)
        cfg.model.teacher.pretrained = False
        cfg.model.allow_random_teacher = True
    cfg.model.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    """Be where the paths in the configs start."""
    monkeypatch.chdir(osp.dirname(CONFIGS))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def differences(config, base, path=''):
    """The keys, with dots, that two configs do not have alike."""
    if not (isinstance(config, dict) and isinstance(base, dict)):
        return set() if config == base else {path}
    return {
        difference
        for key in {*config, *base}
        for difference in differences(
            config.get(key), base.get(key), f'{path}.{key}'.lstrip('.')
        )
    }


@pytest.mark.parametrize('name', NAMES)
def test_config_reads_back_from_its_text(name, tmp_path):
    cfg, path = load(name), str(tmp_path / 'dumped.py')
    cfg.dump(path)
    assert Config.fromfile(path).to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', NAMES)
def test_config_names_what_is_registered(name):
    cfg = load(name)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        for hook in cfg.default_hooks.values():
            assert HOOKS.get(hook.type), hook.type
        for loop in (cfg.val_cfg, cfg.test_cfg):
            assert 'type' not in loop or LOOPS.get(loop.type), loop.type


@pytest.mark.parametrize('name', NAMES)
def test_config_builds_a_model_that_learns(name):
    model = build(name)
    size = 64 if 'imagenet' in name else 8
    data = model.data_preprocessor(
        dict(
            inputs=torch.randint(0, 256, (2, 3, size, size)).to(torch.uint8),
            data_samples=[DataSample().set_gt_label(i) for i in range(2)],
        ),
        True,
    )
    losses = model(**data, mode='loss')
    total = sum(value for key, value in losses.items() if 'loss' in key)
    assert torch.isfinite(total)
    total.backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters()
    )


def test_imagenet_has_the_standard_recipe():
    cfg = load(IMAGENET)
    optimizer = cfg.optim_wrapper.optimizer
    assert optimizer.type == 'SGD'
    assert optimizer.lr == 0.1
    assert optimizer.momentum == 0.9
    assert optimizer.weight_decay == 1e-4
    assert cfg.train_cfg == dict(by_epoch=True, max_epochs=100, val_interval=1)
    assert cfg.param_scheduler.type == 'MultiStepLR'
    assert cfg.param_scheduler.milestones == [30, 60, 90]
    assert cfg.param_scheduler.gamma == 0.1
    # Eight GPUs with 32 images each.
    assert cfg.train_dataloader.batch_size == 32
    assert cfg.auto_scale_lr.base_batch_size == 256


@pytest.mark.parametrize(
    'key',
    [
        'train_dataloader.dataset.pipeline',
        'val_dataloader.dataset.pipeline',
        'test_dataloader.dataset.pipeline',
        'data_preprocessor',
        'train_dataloader.dataset.data_root',
    ],
)
def test_imagenet_has_the_data_of_mmpretrain(key):
    ours = load(IMAGENET)
    theirs = get_config('mmpretrain::resnet/resnet18_8xb32_in1k.py')
    # It is trained on whole images only.
    theirs.train_dataloader.dataset.pipeline[0].type = 'mmdckd.LoadImage'
    for part in key.split('.'):
        ours, theirs = ours[part], theirs[part]
    assert ours == theirs


def test_imagenet_teaches_four_resnet18_by_a_resnet34():
    cfg = load(IMAGENET)
    assert cfg.model.teacher.pretrained is True
    model = build(IMAGENET)
    # The sizes that torchvision documents of both.
    assert [count(teacher.model) for teacher in model.teachers] == [21_797_672]
    assert [count(student) for student in model.cohort.students.values()] == [
        11_689_512
    ] * 4
    assert model.cohort.num_classes == 1000


def test_digits_has_the_same_depths_narrow():
    model = build(DIGITS)
    (teacher,) = model.teachers
    assert teacher.model.backbone.depth == 34
    assert count(teacher.model) == 335_154
    for student in model.cohort.students.values():
        assert student.backbone.depth == 18
        assert count(student) == 11_420
    assert len(model.cohort) == 4
    assert model.cohort.num_classes == teacher.num_classes == 10


def test_digits_takes_the_last_checkpoint_of_its_teacher():
    teacher = load(TEACHER)
    name = osp.splitext(osp.basename(TEACHER))[0]
    assert load(DIGITS).model.teacher_ckpt == (
        f'work_dirs/{name}/epoch_{teacher.train_cfg.max_epochs}.pth'
    )


@pytest.mark.parametrize('name', [DIGITS, TEACHER])
def test_digits_schedule_lasts_as_long_as_training(name):
    cfg = load(name)
    warmup, cosine = cfg.param_scheduler
    assert warmup.end == cosine.begin
    assert cosine.end == cfg.train_cfg.max_epochs
    assert cosine.T_max == cosine.end - cosine.begin


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_digits_shows_a_network_its_own_split(split):
    cfg = load(DIGITS)[f'{split}_dataloader'].dataset
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = build_dataset(cfg)
    assert dataset.split == split
    assert dataset[0]['inputs'].shape == (3, 8, 8)


def test_digits_is_normalized():
    cfg = load(DIGITS)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = build_dataset(cfg.train_dataloader.dataset)
        preprocessor = build(DIGITS).data_preprocessor
    images = torch.stack(
        [
            torch.from_numpy(dataset.get_data_info(i)['img']).permute(2, 0, 1)
            for i in range(len(dataset))
        ]
    )
    inputs = preprocessor(dict(inputs=images))['inputs']
    assert abs(inputs.mean()) < 0.05
    assert abs(inputs.std() - 1) < 0.05


@pytest.mark.parametrize(
    'name, changed',
    [
        (
            'plain',
            {
                'model.teacher',
                'model.teacher_ckpt',
                'model.num_students',
                'model.distiller.collective_losses',
            },
        ),
        (
            'kd',
            {
                'model.num_students',
                'model.distiller.collective_losses.loss_dckd.beta',
                'model.distiller.collective_losses.loss_dckd.gamma',
            },
        ),
        (
            'dml',
            {
                'model.teacher',
                'model.teacher_ckpt',
                'model.distiller.collective_losses.loss_dckd.alpha',
                'model.distiller.collective_losses.loss_dckd.gamma',
                'model.distiller.collective_losses.loss_dckd.tau',
                'model.distiller.collective_losses.loss_dckd.collector',
            },
        ),
    ],
)
def test_baseline_differs_in_its_method_alone(name, changed):
    baseline, dckd = load(BASELINES.format(name)), load(DIGITS)
    assert differences(baseline.to_dict(), dckd.to_dict()) == changed


def test_plain_is_the_task_loss_alone():
    model = build(BASELINES.format('plain'))
    assert not model.teachers
    assert len(model.cohort) == 1
    assert not model.distiller.collective_losses
    assert not model.distiller.student_distillers


def test_kd_is_the_teachers_loss_alone():
    model = build(BASELINES.format('kd'))
    loss = model.distiller.collective_losses['loss_dckd']
    assert isinstance(loss, DCKDLoss)
    assert (loss.beta, loss.gamma) == (0, 0) and loss.alpha > 0
    assert len(model.cohort) == len(model.teachers) == 1


def test_dml_is_the_mean_of_the_peers_alone():
    model = build(BASELINES.format('dml'))
    loss = model.distiller.collective_losses['loss_dckd']
    assert (loss.alpha, loss.gamma, loss.tau) == (0, 0, 1) and loss.beta > 0
    assert type(loss.collector).__name__ == 'MeanCollector'
    assert not loss.collector.include_teacher
    assert len(model.cohort) == 4 and not model.teachers
