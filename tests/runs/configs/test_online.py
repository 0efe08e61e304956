# Copyright (c) mmdckd contributors. All rights reserved.
"""The configs for digits of KD, DML, KDCL, ONE and codistillation against what
their papers publish."""

import os.path as osp
from glob import glob

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from helpers.paths import ROOT
from mmdckd.models.collectors import GeneralCollector
from mmdckd.registry import MODELS

KDCL = ['kdcl_general', 'kdcl_linear', 'kdcl_minlogit', 'kdcl_naive']
METHODS = [
    'codistillation',
    'cross_fit',
    'dml',
    'ema_peers',
    'finished',
    'held_out',
    'held_out_two_phases',
    'kd',
    'one',
    'relation',
    *KDCL,
]


def load(method):
    (path,) = glob(osp.join(ROOT, 'configs', '*', f'{method}_r18_digits.py'))
    cfg = Config.fromfile(path)
    if cfg.model.teacher:
        cfg.model.pop('teacher_ckpt')
        cfg.model.allow_random_teacher = True
    return cfg


def loss_of(method):
    cfg = load(method)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    (loss,) = model.distiller.collective_losses.values()
    return loss


@pytest.fixture(autouse=True)
def repository(monkeypatch):
    """Be where the paths in the configs start."""
    monkeypatch.chdir(ROOT)


def batch(num_students=4):
    generator = torch.Generator().manual_seed(0)
    options = dict(generator=generator, dtype=torch.float64)
    students = 3 * torch.randn(num_students, 6, 10, **options)
    teacher = 3 * torch.randn(6, 10, **options)
    return students, teacher, torch.randint(10, (6,), generator=generator)


def kl(target, logits, tau):
    return tau**2 * F.kl_div(
        (logits / tau).log_softmax(-1), target, reduction='batchmean'
    )


def test_all_are_tested():
    found = glob(osp.join(ROOT, 'configs', '*', '*_r18_digits.py'))
    names = {osp.basename(path)[: -len('_r18_digits.py')] for path in found}
    assert names == {*METHODS, 'plain'}


@pytest.mark.parametrize(
    'method', ['codistillation', 'held_out', 'kdcl_general', 'one', 'relation']
)
def test_trains_and_validates(method, tmp_path):
    """Those with a hook, peers or parameters of their own."""
    cfg = load(method)
    cfg.model.architecture = dict(
        cfg_path='configs/_base_/models/crd/resnet8.py', head=dict(num_classes=10)
    )
    cfg.work_dir = str(tmp_path)
    cfg.default_hooks.pop('cohort_statistics')  # draws figures
    cfg.experiment_name = method
    # So many that all ten digits are there, in every fold.
    train = 64 if method == 'held_out' else 20
    for loader, count in ((cfg.train_dataloader, train), (cfg.val_dataloader, 40)):
        loader.dataset.indices = count
        loader.batch_size = count // 2
    cfg.train_cfg.max_epochs = 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    for name, value in runner.model.state_dict().items():
        assert value.isfinite().all(), name
    assert any(
        'collective.student3.loss' in key for key in runner.message_hub.log_scalars
    )


def test_kd():
    students, teacher, labels = batch()
    loss = loss_of('kd')
    losses = loss(students, teacher, labels)
    assert list(losses) == ['teacher']
    target = (teacher / loss.tau).softmax(-1)
    for value, student in zip(losses['teacher'], students):
        torch.testing.assert_close(value, kl(target, student, loss.tau))


def test_dml():
    """The gradient of the mean of the KL from every peer."""
    students, _, labels = batch()
    students.requires_grad_()
    losses = loss_of('dml')(students, None, labels)
    probs = students.detach().softmax(-1)
    expected = sum(
        kl(probs[j], students[i], 1.0) / 3 for i in range(4) for j in range(4) if j != i
    )
    assert list(losses) == ['collective']
    torch.testing.assert_close(
        torch.autograd.grad(losses['collective'].sum(), students),
        torch.autograd.grad(expected, students),
    )


def kdcl_target(method, logits, label, tau, errors):
    """z_t of one image, and its softened probabilities."""
    if method == 'kdcl_general':
        inverse = errors.inverse()
        weights = inverse.sum(1) / inverse.sum()
        target = (weights[:, None] * (logits / tau).softmax(-1)).sum(0)
        return target.clamp_min(0) / target.clamp_min(0).sum()
    if method == 'kdcl_naive':
        losses = [F.cross_entropy(z, label) for z in logits]
        chosen = logits[torch.stack(losses).argmin()]
    elif method == 'kdcl_minlogit':
        chosen = (logits - logits[:, label, None]).amin(0)
    else:
        share = torch.zeros(len(logits), dtype=torch.float64)
        # Exponentiated gradient: slow and simple.
        for _ in range(3000):
            alpha = share.softmax(0).requires_grad_()
            loss = F.cross_entropy(alpha @ logits, label)
            share = share - 0.05 * torch.autograd.grad(loss, alpha)[0]
        chosen = share.softmax(0) @ logits
    return (chosen / tau).softmax(-1)


@pytest.mark.parametrize('method', KDCL)
def test_kdcl(method):
    students, _, labels = batch()
    students, labels = students[:, :2], labels[:2]
    loss = loss_of(method)
    generator = torch.Generator().manual_seed(1)
    root = torch.randn(4, 8, generator=generator, dtype=torch.float64)
    errors = root @ root.t()
    for module in loss.modules():
        if isinstance(module, GeneralCollector):
            module.errors = errors
    losses = loss(students, None, labels)
    assert list(losses) == ['collective']
    target = torch.stack(
        [
            kdcl_target(method, students[:, b], labels[b], loss.tau, errors)
            for b in range(2)
        ]
    )
    for value, student in zip(losses['collective'], students):
        torch.testing.assert_close(
            value,
            kl(target, student, loss.tau),
            rtol=1e-6 if method in ('kdcl_naive', 'kdcl_minlogit') else 2e-3,
            atol=1e-6,
        )


def test_one():
    """With the gate as it starts: the mean of all logits."""
    students, _, labels = batch()
    losses = loss_of('one')(students, None, labels)
    ensemble = students.mean(0)
    for value, student in zip(losses['collective'], students):
        torch.testing.assert_close(value, kl((ensemble / 3).softmax(-1), student, 3.0))
    torch.testing.assert_close(losses['gate'].sum(), F.cross_entropy(ensemble, labels))


@pytest.mark.parametrize(
    'method, momentum, interval', [('codistillation', 1.0, 50), ('ema_peers', 0.05, 1)]
)
def test_codistillation(method, momentum, interval):
    cfg = load(method)
    cfg.model.data_preprocessor = cfg.data_preprocessor
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    assert model.lagged_peers.momentum == momentum
    assert model.lagged_peers.interval == interval
    students, peers, labels = *batch()[:1], batch()[0].flip(0), batch()[2]
    loss = model.distiller.collective_losses['loss_dckd']
    loss.ramp_terms = ()
    values = loss(students, None, labels, peers)['collective']
    for i in range(4):
        target = (peers.softmax(-1).sum(0) - peers[i].softmax(-1)) / 3
        torch.testing.assert_close(values[i], kl(target, students[i], 1.0))
