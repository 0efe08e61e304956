# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmdckd.easy.collective import Collective
from mmdckd.models.losses import DCKDLoss, RelationMapLoss


def make(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5))


@pytest.fixture
def batch():
    torch.manual_seed(9)
    return torch.rand(6, 3, 2, 2), torch.arange(6) % 5


@pytest.mark.parametrize('taught', [True, False])
def test_the_sum_is_that_of_task_and_collective_losses(batch, taught):
    images, labels = batch
    teacher = make(7) if taught else None
    collective = Collective([make(i) for i in range(3)], teacher)
    losses = collective(images, labels)
    logits = [make(i)(images) for i in range(3)]
    expected = sum(F.cross_entropy(z, labels) for z in logits)
    loss = DCKDLoss() if taught else DCKDLoss(alpha=0.0)
    terms = loss(logits, make(7)(images) if taught else None, labels)
    expected = expected + sum(values.sum() for values in terms.values())
    torch.testing.assert_close(losses.total, expected)
    assert set(losses.logits) == {'student0', 'student1', 'student2'}
    assert f'collective.student2.{list(terms)[0]}' in losses.terms
    losses.total.backward()
    assert all(p.grad is not None for p in collective.parameters())


def test_the_teacher_is_no_part(batch):
    teacher = nn.Sequential(make(7), nn.BatchNorm1d(5))
    collective = Collective(dict(main=make(0), peer=make(1)), teacher).train()
    before = teacher[1].running_mean.clone()
    collective(*batch).total.backward()
    assert torch.equal(teacher[1].running_mean, before)
    assert all(p.grad is None for p in teacher.parameters())
    own = {name.split('.')[1] for name, _ in collective.named_parameters()}
    assert own == {'main', 'peer'}
    collective.double()
    assert next(teacher.parameters()).dtype == torch.float64


def test_it_learns(batch):
    collective = Collective([make(0), make(1)], make(7))
    optimizer = torch.optim.SGD(collective.parameters(), lr=0.5)
    values = []
    for _ in range(60):
        losses = collective(*batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        values.append(losses.total.item())
    assert values[-1] < 0.8 * values[0]


def test_without_labels_there_is_no_task_loss(batch):
    losses = Collective([make(0), make(1)], make(7))(batch[0])
    assert all(name.startswith('collective.') for name in losses.terms)


@pytest.mark.parametrize(
    'students, error, message',
    [
        ([], ValueError, 'expected one or more'),
        ([make(0), 3], TypeError, 'Invalid `student1`: .* got a int'),
        ([make(0)] * 2, ValueError, 'same one twice'),
        (dict(best=make(0)), ValueError, 'not reserved'),
        (make(0), TypeError, '`students`: expected a list .* got a Sequential'),
        ((make(i) for i in range(2)), TypeError, '`students`: .* got a generator'),
    ],
)
def test_what_is_no_cohort(students, error, message):
    with pytest.raises(error, match=message):
        Collective(students)


@pytest.mark.parametrize('rate', [0.0, 0.5])
def test_students_that_would_stay_equal(batch, rate):
    """As copies of one network do, unless they drop values at random."""
    network = nn.Sequential(nn.Flatten(), nn.Dropout(rate), nn.LazyLinear(5))
    network(batch[0])
    collective = Collective([network, copy.deepcopy(network)])
    if rate:
        assert collective(*batch).total.isfinite()
    else:
        with pytest.raises(ValueError, match="'student0' and 'student1' with bitwise"):
            collective(*batch)


@pytest.mark.parametrize(
    'loss, error, message',
    [
        (dict(type='mmdckd.DCKDLoss'), TypeError, 'expected a loss.* got {'),
        (DCKDLoss, TypeError, 'expected a loss.* got <class'),
        (RelationMapLoss(), ValueError, 'a loss on logits, got RelationMapLoss'),
        (DCKDLoss(collector='held_out'), ValueError, 'which needs folds'),
    ],
)
def test_what_is_no_loss_of_logits(loss, error, message):
    with pytest.raises(error, match=f'Invalid `loss`: .*{message}'):
        Collective([make(0), make(1)], make(7), loss)


def test_a_task_loss_of_each_image(batch):
    task_loss = nn.CrossEntropyLoss(reduction='none')
    collective = Collective([make(0), make(1)], task_loss=task_loss)
    with pytest.raises(ValueError, match=r'`task_loss`: .* Tensor of shape \(6,\)'):
        collective(*batch)


def test_what_returns_no_logits(batch):
    with pytest.raises(TypeError, match=r"'student1': .* shape \(6, 3, 2, 2\)"):
        Collective([make(0), nn.Identity()])(*batch)


def steps(collective, optimizer, batch, count):
    for _ in range(count):
        losses = collective(*batch)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()


def test_it_resumes(batch, tmp_path):
    def make_all(seed):
        collective = Collective([make(seed), make(seed + 1)], make(7))
        return collective, torch.optim.SGD(
            collective.parameters(), lr=0.1, momentum=0.9
        )

    straight = make_all(0)
    steps(*straight, batch, 6)
    first = make_all(0)
    steps(*first, batch, 3)
    torch.save([part.state_dict() for part in first], tmp_path / 'state.pth')
    second = make_all(20)
    saved = torch.load(tmp_path / 'state.pth', weights_only=True)
    for part, state in zip(second, saved):
        part.load_state_dict(state)
    steps(*second, batch, 3)
    ours, theirs = straight[0].state_dict(), second[0].state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not any('teacher' in key for key in ours)


def test_mixed_precision(batch):
    exact = Collective([make(0), make(1)], make(7))(*batch).total
    collective = Collective([make(0), make(1)], make(7))
    with torch.autocast('cpu', torch.bfloat16):
        losses = collective(*batch)
    assert losses.logits['student0'].dtype == torch.bfloat16
    torch.testing.assert_close(losses.total.float(), exact, rtol=0.1, atol=0.1)
    losses.total.backward()
    assert all(p.grad.isfinite().all() for p in collective.parameters())


def test_it_moves_with_its_teacher(batch):
    teacher = make(7)
    Collective([make(0), make(1)], teacher).to('meta')
    assert next(teacher.parameters()).device.type == 'meta'


def test_networks_of_other_classes(batch):
    with pytest.raises(ValueError, match='student0: 5, student1: 5, teacher: 3'):
        Collective([make(0), make(1)], nn.Sequential(nn.Flatten(), nn.Linear(12, 3)))(
            *batch
        )


def test_a_loss_without_its_teacher():
    with pytest.raises(ValueError, match='teacher'):
        Collective([make(0), make(1)], loss=DCKDLoss(alpha=1.0))
