# Copyright (c) mmdckd contributors. All rights reserved.
"""KDCL-Linear against another solver of its problem."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from mmdckd.models.collectors import LinearCollector
from mmdckd.models.collectors.best_combination import best_combination


def cross_entropy(alpha, logits, label):
    """Of the combination of one image's logits (K, C); label is soft."""
    combined = alpha @ logits
    top = combined.max()
    return top + np.log(np.exp(combined - top).sum()) - label @ combined


def slope(alpha, logits, label):
    """The gradient of the cross-entropy."""
    combined = alpha @ logits
    probs = np.exp(combined - combined.max())
    return logits @ (probs / probs.sum() - label)


def least(logits, label):
    """The least that sequential quadratic programming finds."""
    number = len(logits)
    starts = [np.full(number, 1 / number), *np.eye(number)]
    results = [
        minimize(
            cross_entropy,
            start,
            args=(logits, label),
            jac=slope,
            bounds=[(0, 1)] * number,
            constraints=dict(
                type='eq', fun=lambda x: x.sum() - 1, jac=lambda x: np.ones(number)
            ),
            method='SLSQP',
            options=dict(ftol=1e-12, maxiter=300),
        )
        for start in starts
    ]
    feasible = [np.clip(r.x, 0, None) for r in results] + starts
    return min(cross_entropy(x / x.sum(), logits, label) for x in feasible)


def random_batch(num_members, scale, soft):
    generator = torch.Generator().manual_seed(num_members)
    logits = scale * torch.randn(
        num_members, 8, 6, dtype=torch.float64, generator=generator
    )
    labels = torch.nn.functional.one_hot(
        torch.randint(6, (8,), generator=generator), 6
    ).double()
    if soft:
        other = torch.rand(8, 6, dtype=torch.float64, generator=generator)
        labels = 0.6 * labels + 0.4 * other / other.sum(-1, keepdim=True)
    return logits, labels


@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('scale', [0.3, 3.0, 30.0, 300.0])
@pytest.mark.parametrize('num_members', [2, 3, 5, 8])
def test_no_combination_is_better(num_members, scale, soft):
    logits, labels = random_batch(num_members, scale, soft)
    expected = (labels * logits).sum(-1, keepdim=True)
    alpha = best_combination((logits - expected).transpose(0, 1))
    assert (alpha > 0).all()
    torch.testing.assert_close(alpha.sum(-1), torch.ones(8).double())
    for b in range(8):
        found = cross_entropy(alpha[b].numpy(), logits[:, b].numpy(), labels[b].numpy())
        best = least(logits[:, b].numpy(), labels[b].numpy())
        assert found <= best + 2e-5 * max(1, scale / 30)


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_the_target_is_the_softened_combination(tau):
    logits, labels = random_batch(3, 3.0, False)
    peers = logits[1:]
    alpha = best_combination(
        (peers - (labels * peers).sum(-1, keepdim=True)).transpose(0, 1)
    )
    expected = ((alpha.t().unsqueeze(-1) * peers).sum(0) / tau).softmax(-1)
    targets = LinearCollector()(None, (logits / tau).log_softmax(-1), None, labels, tau)
    torch.testing.assert_close(targets[0], expected)


def test_all_students_share_one_target():
    logits, labels = random_batch(3, 3.0, False)
    targets = LinearCollector(include_self=True)(
        None, logits.log_softmax(-1), None, labels
    )
    assert torch.equal(targets[0], targets[1])
    # A student the combination leaves out knows a better one.
    own = -(labels * logits.log_softmax(-1)).sum(-1)
    best = -(labels * targets[0].log()).sum(-1)
    assert (best <= own.amin(0) + 1e-5).all()


def test_the_teacher_is_one_of_the_members():
    logits, labels = random_batch(4, 3.0, False)
    log_probs = logits.log_softmax(-1)
    everybody = LinearCollector(include_self=True)(None, log_probs, None, labels)
    targets = LinearCollector(include_self=True, include_teacher=True)(
        None, log_probs[:3], log_probs[3], labels
    )
    torch.testing.assert_close(targets[0], everybody[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('exponent', [5, 6, 7, 8, 10, 15, 26, 34])
def test_margins_of_any_size(exponent):
    """Newton's method on what float64 cannot tell apart once gave NaN."""
    generator = torch.Generator().manual_seed(0)
    for num_members, num_classes in [(2, 2), (3, 10), (5, 100), (16, 10)]:
        margins = 10.0**exponent * torch.randn(
            50, num_members, num_classes, generator=generator, dtype=torch.float64
        )
        margins -= margins[..., :1]
        alpha = best_combination(margins)
        assert (alpha >= 0).all()
        torch.testing.assert_close(alpha.sum(-1), torch.ones(50).double())
        # No single member is better.
        best = margins.amax(-1).amin(-1)
        combined = torch.einsum('bk,bkc->bc', alpha, margins).amax(-1)
        assert (combined <= best + 1e-3 * 10.0**exponent).all()
