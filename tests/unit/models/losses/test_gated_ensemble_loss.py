# Copyright (c) mmdckd contributors. All rights reserved.
"""The gated ensemble against its formula, written out with plain loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmdckd.models.losses import GatedEnsembleLoss


def softmax(row, tau=1.0):
    top = max(row)
    exps = [math.exp((x - top) / tau) for x in row]
    return [x / sum(exps) for x in exps]


def reference(students, label, weight, bias, tau):
    """Of one image, of which students (N, C) are logits; label is soft."""
    number, classes = len(students), range(len(label))
    inputs = [p for z in students for p in softmax(z, tau)]
    gate = softmax(
        [b + sum(w * x for w, x in zip(row, inputs)) for row, b in zip(weight, bias)]
    )
    ensemble = [sum(g * z[c] for g, z in zip(gate, students)) for c in classes]
    target = softmax(ensemble, tau)
    collective = [
        tau**2 * sum(t * math.log(t / p) for t, p in zip(target, softmax(z, tau)))
        for z in students
    ]
    loss = -sum(y * math.log(p) for y, p in zip(label, softmax(ensemble)))
    return collective, [loss / number] * number


def gated(num_students=3, num_classes=5, seed=0, **kwargs):
    """With a gate that is no longer as it starts."""
    loss = GatedEnsembleLoss(num_students, num_classes, **kwargs)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return loss


def batch(num_students=3, scale=3.0, seed=0, soft=False):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(
        num_students, 4, 5, generator=generator, dtype=torch.float64
    )
    labels = torch.randint(5, (4,), generator=generator)
    if soft:
        labels = torch.rand(4, 5, generator=generator).softmax(-1).double()
    return logits, labels


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('num_students', [2, 3, 5])
def test_formula(num_students, soft):
    students, labels = batch(num_students, soft=soft)
    loss = gated(num_students, tau=2.0, loss_weight=0.7)
    losses = loss(students, None, labels)
    rows = labels if soft else torch.nn.functional.one_hot(labels, 5)
    expected = [
        reference(
            students[:, b].tolist(),
            rows[b].tolist(),
            loss.gate.weight.tolist(),
            loss.gate.bias.tolist(),
            2.0,
        )
        for b in range(4)
    ]
    collective, gate = torch.tensor(expected, dtype=torch.float64).mean(0)
    assert list(losses) == ['collective', 'gate']
    torch.testing.assert_close(losses['collective'], 0.7 * collective)
    torch.testing.assert_close(losses['gate'], gate)


def test_it_starts_as_the_mean():
    students, labels = batch()
    target = (students.mean(0) / 3).softmax(-1)
    losses = GatedEnsembleLoss(3, 5)(students, None, labels)
    for i in range(3):
        torch.testing.assert_close(
            losses['collective'][i],
            9
            * torch.nn.functional.kl_div(
                (students[i] / 3).log_softmax(-1), target, reduction='batchmean'
            ),
        )


def test_lagged_peers_are_the_ensemble_in_place_of_the_students():
    students, labels = batch()
    peers, _ = batch(seed=1)
    found = gated()(students, None, labels, peers)
    torch.testing.assert_close(found['gate'], gated()(peers, None, labels)['gate'])
    target = (peers.mean(0) / 3).softmax(-1)
    losses = GatedEnsembleLoss(3, 5)(students, None, labels, peers)
    for i in range(3):
        expected = torch.nn.functional.kl_div(
            (students[i] / 3).log_softmax(-1), target, reduction='batchmean'
        )
        torch.testing.assert_close(losses['collective'][i], 9 * expected)


def test_who_learns_from_what():
    students, labels = batch()
    students.requires_grad_()
    loss = gated()
    losses = loss(students, None, labels)
    gate = list(loss.parameters())
    of_gate = torch.autograd.grad(
        losses['gate'].sum(), [students, *gate], allow_unused=True, retain_graph=True
    )
    assert of_gate[0] is None and all(g.any() for g in of_gate[1:])
    for i in range(3):
        grad, *rest = torch.autograd.grad(
            losses['collective'][i],
            [students, *gate],
            allow_unused=True,
            retain_graph=True,
        )
        assert rest == [None, None]
        assert grad[i].any()
        assert not grad[:i].any() and not grad[i + 1 :].any()


def test_the_gate_learns_whom_to_trust():
    """One student knows the labels; the gate comes to listen to it."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (64,), generator=generator)
    students = torch.randn(3, 64, 5, generator=generator)
    students[1, torch.arange(64), labels] += 4
    loss = GatedEnsembleLoss(3, 5)
    optimizer = torch.optim.SGD(loss.parameters(), lr=1.0)
    values = []
    for _ in range(50):
        optimizer.zero_grad()
        value = loss(students, None, labels)['gate'].sum()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
    assert loss.gate.bias.argmax() == 1


@given(
    order=st.permutations(range(3)),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
    scale=st.sampled_from([1.0, 1e2, 1e4]),
)
def test_properties(order, seed, dtype, scale):
    students, labels = batch(3, scale, seed)
    students = students.clamp(-1e4, 1e4).to(dtype).requires_grad_()
    loss = gated(seed=seed)
    losses = loss(students, None, labels)
    sum(values.sum() for values in losses.values()).backward()
    for values in losses.values():
        assert values.dtype == torch.float32 and values.isfinite().all()
    assert students.grad.isfinite().all()
    # A gate that knows the students by other numbers says the same.
    other = gated(seed=seed)
    with torch.no_grad():
        weight = loss.gate.weight.unflatten(1, (3, 5))
        other.gate.weight.copy_(weight[order][:, order].flatten(1))
        other.gate.bias.copy_(loss.gate.bias[order])
    permuted = other(students[order], None, labels)
    for name, values in losses.items():
        torch.testing.assert_close(permuted[name], values[order], rtol=1e-3, atol=1e-3)


def test_float32_under_autocast():
    students, labels = batch()
    loss = gated()
    expected = loss(students.float(), None, labels)
    with torch.autocast('cpu', torch.bfloat16):
        losses = loss(students.float(), None, labels)
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


def test_errors():
    students, labels = batch()
    loss = GatedEnsembleLoss(3, 5)
    with pytest.raises(ValueError, match='`tau`: expected a temperature'):
        GatedEnsembleLoss(3, 5, tau=0)
    with pytest.raises(ValueError, match='`loss_weight`: expected a weight'):
        GatedEnsembleLoss(3, 5, loss_weight=-1.0)
    with pytest.raises(
        ValueError, match='`num_students` of the gate: expected 4.*got 3'
    ):
        loss.check_cohort(4, 0)
    with pytest.raises(ValueError, match='expected 2 or more'):
        GatedEnsembleLoss(1, 5).check_cohort(1, 1)
    with pytest.raises(
        ValueError, match='`num_classes` of the gate: expected 4.*got 5'
    ):
        loss(students[..., :4], None, labels.clamp_max(3))
    with pytest.raises(ValueError, match='`gt_labels`: .*got None'):
        loss(students)
    with pytest.raises(ValueError, match='`gt_labels`: .*got 5'):
        loss(students, None, labels.clamp_min(5))
