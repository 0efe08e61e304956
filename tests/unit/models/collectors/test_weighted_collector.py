# Copyright (c) mmdckd contributors. All rights reserved.
"""Collectors whose members have weights of their own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.model import ExponentialMovingAverage
from torch import nn

from helpers.networks import distil
from mmdckd.models.collectors import (
    GeneralCollector,
    WeightedCollector,
    build_collector,
)


def batch(num_students=3, num_teachers=0, scale=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(
        num_students + num_teachers, 4, 5, generator=generator, dtype=torch.float64
    )
    log_probs = logits.log_softmax(-1)
    teachers = log_probs[num_students:] if num_teachers else None
    return log_probs[:num_students], teachers


def errors_of(num_members, seed=0):
    """Errors of predictions on twenty images, and their products."""
    generator = torch.Generator().manual_seed(seed)
    probs = torch.randn(
        num_members, 20, 5, generator=generator, dtype=torch.float64
    ).softmax(-1)
    wrong = probs - nn.functional.one_hot(
        torch.randint(5, (20,), generator=generator), 5
    )
    return torch.einsum('jvc,kvc->jk', wrong, wrong) / 20


def general(errors, **kwargs):
    collector = GeneralCollector(**kwargs)
    collector.errors = errors
    return collector


@pytest.mark.parametrize('include_self', [False, True])
@pytest.mark.parametrize('num_teachers', [0, 2])
def test_weighted_formula(include_self, num_teachers):
    students, teachers = batch(3, num_teachers)
    weights = [0.5, 2.0, 1.0, 3.0, 0.1][: 3 + num_teachers]
    collector = build_collector(
        dict(
            type='weighted',
            weights=weights,
            include_self=include_self,
            include_teacher=num_teachers > 0,
        )
    )
    targets = collector(None, students, teachers)
    for i in range(3):
        total, mean = 0.0, 0.0
        for j in range(3 + num_teachers):
            if j == i and not include_self:
                continue
            log_p = students[j] if j < 3 else teachers[j - 3]
            total += weights[j]
            mean = mean + weights[j] * log_p.exp()
        torch.testing.assert_close(targets[i], mean / total)


def test_equal_weights_are_none():
    students, teachers = batch(4, 2)
    options = dict(include_teacher=True)
    torch.testing.assert_close(
        WeightedCollector([2.0] * 6, **options)(None, students, teachers),
        build_collector(dict(type='mean', **options))(None, students, teachers),
    )


def test_a_teacher_has_one_weight_on_every_view():
    students, _ = batch(2)
    teachers = batch(4, seed=1)[0].unflatten(0, (2, 2))
    targets = WeightedCollector([1.0, 1.0, 5.0, 3.0], include_teacher=True)(
        None, students, teachers
    )
    for i in range(2):
        expected = (
            students[1 - i].exp() + 5 * teachers[0, i].exp() + 3 * teachers[1, i].exp()
        ) / 9
        torch.testing.assert_close(targets[i], expected)


def test_finished_peers_come_first_then_the_student_then_the_teachers():
    students, teachers = batch(2, 1)
    peers = batch(4, seed=1)[0].unflatten(0, (2, 2))
    collector = WeightedCollector([1.0, 2.0, 4.0, 8.0], True, True)
    targets = collector.collect_finished(peers, students, teachers)
    for i in range(2):
        members = [peers[0, i], peers[1, i], students[i], teachers[0]]
        weighted = zip([1, 2, 4, 8], members)
        expected = sum(weight * log_p.exp() for weight, log_p in weighted) / 15
        torch.testing.assert_close(targets[i], expected)


def test_wrong_weights():
    for weights in ([1.0, 0.0], [1.0, -1.0], [float('nan')], [float('inf')]):
        with pytest.raises(ValueError, match='`weights`: expected a number above 0'):
            WeightedCollector(weights)
    with pytest.raises(ValueError, match='`weights`: expected a number above 0'):
        WeightedCollector([1.0, '2'])
    for weights in (dict(main=1.0, peer=2.0), '12', 1.0, None):
        with pytest.raises(ValueError, match='`weights`: expected a list of numbers'):
            WeightedCollector(weights)
    with pytest.raises(ValueError, match='expected 3 weights.*got 2'):
        WeightedCollector([1.0, 1.0])(None, batch()[0])


def lagrange(errors):
    """Least w E w with sum(w) = 1, by the system of its conditions."""
    number = len(errors)
    system = torch.zeros(number + 1, number + 1, dtype=torch.float64)
    system[:number, :number] = 2 * errors
    system[number, :number] = system[:number, number] = 1
    right = torch.zeros(number + 1, dtype=torch.float64)
    right[number] = 1
    return torch.linalg.solve(system, right)[:number]


@pytest.mark.parametrize('num_students', range(2, 6))
def test_general_has_the_least_error(num_students):
    errors = errors_of(num_students)
    weights = general(errors).weights(list(range(num_students)))
    torch.testing.assert_close(weights, lagrange(errors), rtol=1e-3, atol=1e-4)
    inverse = errors.inverse()
    torch.testing.assert_close(
        weights, inverse.sum(1) / inverse.sum(), rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize('include_self', [False, True])
@pytest.mark.parametrize('include_teacher', [False, True])
def test_general_formula(include_self, include_teacher):
    students, teachers = batch(3, 1)
    errors = errors_of(3 + include_teacher)
    collector = general(
        errors, include_self=include_self, include_teacher=include_teacher
    )
    targets = collector(None, students, teachers)
    members = torch.cat([students, teachers])[: len(errors)]
    for i in range(3):
        chosen = [j for j in range(len(errors)) if j != i or include_self]
        weights = lagrange(errors[chosen][:, chosen])
        expected = sum(w * members[j].exp() for w, j in zip(weights, chosen)).clamp_min(
            0
        )
        expected = expected / expected.sum(-1, keepdim=True)
        torch.testing.assert_close(targets[i], expected, rtol=1e-3, atol=1e-4)


@given(
    scale=st.sampled_from([1.0, 1e2, 1e4]),
    seed=st.integers(0, 1000),
    order=st.permutations(range(4)),
    alike=st.booleans(),
)
def test_general_properties(scale, seed, order, alike):
    """A distribution, detached, that goes with its students."""
    students = batch(4, scale=scale, seed=seed)[0].requires_grad_()
    errors = errors_of(4, seed)
    if alike:
        # Of what two students that err alike share, each has a half.
        errors[1], errors[:, 1] = errors[0].clone(), errors[:, 0].clone()
        errors[1, 1] = errors[0, 0]
    collector = general(errors)
    targets = collector(None, students)
    assert not targets.requires_grad
    assert targets.isfinite().all() and (targets >= 0).all()
    torch.testing.assert_close(targets.sum(-1), torch.ones(4, 4).double())
    permuted = general(errors[order][:, order])
    torch.testing.assert_close(
        permuted(None, students[order]), targets[order], rtol=1e-5, atol=1e-6
    )
    if alike:
        weights = collector.weights([0, 1, 2, 3])
        torch.testing.assert_close(weights[0], weights[1])


def test_students_without_errors_share():
    collector = general(torch.zeros(3, 3).double(), include_self=True)
    torch.testing.assert_close(
        collector.weights([0, 1, 2]), torch.full((3,), 1 / 3).double()
    )


def test_what_was_measured_is_in_the_checkpoint():
    measured, fresh = general(errors_of(3)), GeneralCollector()
    fresh.load_state_dict(measured.state_dict())
    assert torch.equal(fresh.errors, measured.errors)
    measured.load_state_dict(GeneralCollector().state_dict())
    assert measured.errors.shape == (0, 0)


def test_errors_that_were_not_measured_replace_measured_ones():
    """A checkpoint from before the first measurement."""
    unmeasured, used = GeneralCollector(), general(errors_of(3))
    unmeasured.check_members(3)
    used.weights([0, 1, 2])
    used.load_state_dict(unmeasured.state_dict())
    with pytest.raises(RuntimeError, match='MeasureErrorsHook'):
        used.weights([0, 1, 2])


def test_general_says_what_is_missing():
    with pytest.raises(RuntimeError, match='MeasureErrorsHook'):
        GeneralCollector()(None, batch()[0])
    with pytest.raises(ValueError, match='3 members .*errors of 2'):
        general(errors_of(2))(None, batch()[0])


def test_an_average_of_models_follows_what_is_measured():
    loss = dict(type='mmdckd.DCKDLoss', collector='general')
    model = distil(
        2,
        distiller=dict(
            type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_dckd=loss)
        ),
    )
    average = ExponentialMovingAverage(model)
    for errors in errors_of(2), 2 * errors_of(2):
        collector = model.distiller.collective_losses.loss_dckd.collector
        collector.errors = errors
        average.update_parameters(model)
        followed = average.module.distiller.collective_losses.loss_dckd.collector
        assert torch.equal(followed.errors, errors)
