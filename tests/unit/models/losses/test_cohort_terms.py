# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch

from mmdckd.models.losses import DCKDLoss, cohort_terms

N, B, C = 3, 7, 5
LOSSES = dict(
    all=dict(),
    non_target=dict(correlation='non_target'),
    labels=dict(collector='cross_entropy'),
    linear=dict(collector='linear'),
    teacher=dict(collector=dict(type='max', include_teacher=True)),
    shared=dict(collector=dict(type='mean', include_self=True)),
    no_teacher=dict(alpha=0.0),
    correlation=dict(alpha=0.0, beta=0.0),
)


def terms_and_grads(loss, views):
    torch.manual_seed(0)
    students = torch.randn(N, B, C, requires_grad=True)
    teacher = torch.randn(*([2, N] if views else []), B, C)
    terms = loss(students, teacher, torch.randint(C, (B,)))
    weights = torch.rand(len(terms), N)
    sum((w * t).sum() for w, t in zip(weights, terms.values())).backward()
    return torch.stack([*terms.values()]), students.grad


@pytest.mark.parametrize('views', [False, True])
@pytest.mark.parametrize('kwargs', LOSSES.values(), ids=[*LOSSES])
@pytest.mark.parametrize('rows', [1, 2, 6])
def test_some_rows_at_a_time_are_all_at_once(rows, kwargs, views, monkeypatch):
    loss = DCKDLoss(**{'gamma': 0.3, **kwargs})
    whole = terms_and_grads(loss, views)
    monkeypatch.setattr(cohort_terms, 'CHUNK', rows * N * C)
    slices = list(cohort_terms._chunks(torch.empty(N, B, C).unbind()))
    assert len(slices) == -(-B // rows)
    for actual, expected in zip(terms_and_grads(loss, views), whole):
        assert torch.allclose(actual, expected, atol=1e-6)
