# Copyright (c) mmdckd contributors. All rights reserved.
"""Collective losses and collectors against float64 on the CPU."""

from contextlib import nullcontext
from inspect import signature

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from small import TOLERANCES, flat

from mmdckd import list_collectors
from mmdckd.models.collectors import build_collector
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.tasks import Classification
from mmdckd.registry import MODELS

pytestmark = pytest.mark.gpu

STUDENTS, TEACHERS, BATCH, CLASSES = 4, 2, 32, 100
DTYPES = [torch.float32, torch.float16, torch.bfloat16]

#: Arguments of the collectors that need some.
COLLECTORS = dict(WeightedCollector=dict(weights=[1.0, 2.0, 3.0, 4.0]))
SETS = dict(
    peers=dict(), self=dict(include_self=True), teachers=dict(include_teacher=True)
)

OPTIONS = dict(
    default=dict(),
    teacher=dict(beta=0.0, gamma=0.0),
    collective=dict(alpha=0.0, gamma=0.0),
    correlation=dict(alpha=0.0, beta=0.0),
    weights=dict(alpha=0.5, beta=2.0, gamma=1.0),
    sharp=dict(tau=0.5),
    soft=dict(tau=20.0),
    non_target=dict(correlation='non_target', gamma=1.0),
    teacher_collector=dict(teacher_collector='max'),
    weighted_teachers=dict(teacher_collector=dict(type='weighted', weights=[2.0, 1.0])),
    include_both=dict(
        collector=dict(type='mean', include_self=True, include_teacher=True)
    ),
    standardize=dict(standardize=True),
    ramp=dict(
        ramp=dict(
            end=10, begin=2, by_epoch=False, kind='exp', terms=('teacher', 'collective')
        )
    ),
)


def batch(dtype=torch.float32, soft=False):
    """What a type can hold of logits, so that both sides have the same."""
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, CLASSES)
    students = 3 * torch.randn(STUDENTS, *shape, generator=generator)
    teachers = 3 * torch.randn(TEACHERS, *shape, generator=generator)
    labels = torch.randint(CLASSES, (BATCH,), generator=generator)
    if soft:
        labels = torch.rand(shape, generator=generator).softmax(-1).double()
        labels /= labels.sum(-1, keepdim=True)
    return students.to(dtype), teachers.to(dtype), labels


def values_and_gradient(loss, students, teachers, labels, cast=None, **peers):
    students = students.clone().requires_grad_()
    with cast or nullcontext():
        terms = loss(students, teachers, labels, **peers)
    sum(value.sum() for value in terms.values()).backward()
    return terms, students.grad


def against_float64(
    loss, what, compare, device, dtype, soft=False, peers=None, limit=TOLERANCES['loss']
):
    data = batch(dtype, soft)
    labels = data[2]
    terms, gradient = values_and_gradient(
        loss.to(device),
        data[0].to(device),
        data[1].to(device),
        labels.to(device),
        **{k: v.to(device) for k, v in (peers or {}).items()},
    )
    expected, reference = values_and_gradient(
        loss.to('cpu', torch.float64),
        data[0].double(),
        data[1].double(),
        labels,
        **{k: v.double() for k, v in (peers or {}).items()},
    )
    assert terms.keys() == expected.keys() and terms
    assert gradient.device == device and gradient.dtype == dtype
    for name, value in terms.items():
        assert value.dtype == torch.float32
        compare(f'{what} {_name(dtype)}', value, expected[name], limit)
    compare(
        f'{what} gradient {_name(dtype)}',
        gradient,
        reference,
        TOLERANCES[f'gradient_{_name(dtype)}'],
    )


def _name(dtype):
    return str(dtype).split('.')[-1]


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
@pytest.mark.parametrize('options', OPTIONS.values(), ids=OPTIONS)
def test_dckd_loss(device, compare, options, dtype):
    if 'ramp' in options:
        hub = MessageHub.get_instance('ramp')
        for key, value in dict(iter=7, max_iters=20, max_epochs=1).items():
            hub.update_info(key, value)
    against_float64(DCKDLoss(**options), 'DCKDLoss', compare, device, dtype)


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
@pytest.mark.parametrize('options', [{}, OPTIONS['non_target']])
def test_dckd_loss_with_soft_labels(device, compare, options, dtype):
    against_float64(
        DCKDLoss(**options), 'DCKDLoss soft labels', compare, device, dtype, True
    )


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
def test_dckd_loss_with_lagged_peers(device, compare, dtype):
    peers = dict(preds_P=batch(dtype)[0].flip(0))
    against_float64(
        DCKDLoss(), 'DCKDLoss lagged peers', compare, device, dtype, peers=peers
    )


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
@pytest.mark.parametrize('collector', ['logit_mean', 'linear'])
def test_dckd_loss_under_autocast(device, collector, dtype):
    """It stays in float32."""
    students, teachers, labels = (t.to(device) for t in batch(dtype))
    loss = DCKDLoss(collector=collector)
    terms, gradient = values_and_gradient(loss, students, teachers, labels)
    low = torch.bfloat16 if device.type == 'cpu' else torch.float16
    cast, its = values_and_gradient(
        loss, students, teachers, labels, torch.autocast(device.type, low)
    )
    for name in terms:
        assert torch.equal(terms[name], cast[name])
    assert torch.equal(gradient, its)


#: Losses of each student and the teacher, with arguments that change the way
#: they are computed.
TEACHER_LOSSES = dict(
    CohortDISTLoss=[dict(), dict(standardize=True)],
    CohortDKDLoss=[dict(), dict(standardize=True)],
    MLKDLoss=[dict(), dict(standardize=True)],
    WKDLoss=[dict(), dict(tau=4.0, num_iters=20)],
)


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
@pytest.mark.parametrize(
    'name, options',
    [(name, each) for name, all in TEACHER_LOSSES.items() for each in all],
)
def test_teacher_losses(device, compare, tmp_path, name, options, dtype):
    if name == 'WKDLoss':
        points = np.random.default_rng(0).random((CLASSES, 3))
        distances = np.linalg.norm(points[:, None] - points, axis=-1)
        np.save(tmp_path / 'cost.npy', distances)
        options = dict(options, cost=str(tmp_path / 'cost.npy'))
    loss = MODELS.build(dict(type=name, **options))
    against_float64(
        loss, name, compare, device, dtype, limit=TOLERANCES['teacher_loss']
    )


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
@pytest.mark.parametrize('soft', [False, True], ids=['hard', 'soft'])
def test_gated_ensemble_loss(device, compare, dtype, soft):
    loss = MODELS.build(
        dict(type='GatedEnsembleLoss', num_students=STUDENTS, num_classes=CLASSES)
    )
    torch.manual_seed(0)
    torch.nn.init.normal_(loss.gate.weight, std=0.1)
    against_float64(loss, 'GatedEnsembleLoss', compare, device, dtype, soft)


@pytest.mark.parametrize('dtype', DTYPES, ids=_name)
@pytest.mark.parametrize('members', SETS.values(), ids=SETS)
@pytest.mark.parametrize('name', [n.split('.')[1] for n in list_collectors()])
def test_collectors(device, compare, name, members, dtype):
    if not set(members) <= set(signature(MODELS.get(f'mmdckd.{name}')).parameters):
        pytest.skip('the collector inside has the option')
    teacher = 'include_teacher' in members
    options = dict(COLLECTORS.get(name, {}), type=f'mmdckd.{name}', **members)
    if teacher and name == 'WeightedCollector':
        options['weights'] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    collector = build_collector(options)
    if name == 'GeneralCollector':
        number = STUDENTS + TEACHERS * teacher
        errors = torch.randn(number, 50, generator=torch.Generator().manual_seed(1))
        collector.errors = (errors @ errors.T / 50).double()
    students, teachers, labels = batch()
    data = [(each / 4.0).log_softmax(-1).to(dtype) for each in (students, teachers)]
    targets = collector.to(device)(
        None, data[0].to(device), data[1].to(device), labels.to(device), 4.0
    )
    expected = collector.cpu()(None, data[0].double(), data[1].double(), labels, 4.0)
    assert targets.device == device and targets.dtype == torch.float32
    assert targets.shape == students.shape
    kind = 'linear_collector' if name == 'LinearCollector' else 'collector'
    compare(f'{kind}s: targets', targets, expected, TOLERANCES[kind])


def test_statistics(device, compare):
    from mmdckd.models.distillers.statistics import cohort_statistics

    students = batch()[0]
    names = [f'student{i}' for i in range(STUDENTS)]
    ours = cohort_statistics(names, students.to(device), Classification())
    expected = cohort_statistics(names, students.double(), Classification())
    compare(
        'statistics',
        flat(each[None] for each in ours.values()),
        flat(each[None] for each in expected.values()),
        1e-5,
    )
