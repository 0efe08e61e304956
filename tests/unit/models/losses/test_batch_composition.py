# Copyright (c) mmdckd contributors. All rights reserved.
"""What is collected for an image depends on no other image of its batch.

So several processes have nothing to tell each other but gradients, and a
batch may be split into parts.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdckd.models.collectors import GeneralCollector, build_collector
from mmdckd.models.losses import DCKDLoss, GatedEnsembleLoss

COLLECTORS = (
    'mean',
    'max',
    'logit_mean',
    'min_logit',
    'naive',
    'linear',
    'confidence',
    'cross_entropy',
    'general',
    'weighted',
)
N, M, C = 3, 2, 5


def make_collector(name, include_self):
    """A collector of N students and M teachers."""
    cfg = dict(type=name, include_self=include_self, include_teacher=True)
    if name == 'weighted':
        cfg['weights'] = list(range(1, N + M + 1))
    collector = build_collector(cfg)
    if isinstance(collector, GeneralCollector):
        # Measured on the validation split, the same in all processes.
        collector.errors = torch.eye(N + M).double() + 0.3
    return collector


@st.composite
def batches(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    size = draw(st.integers(2, 6))
    scale = draw(st.sampled_from([0.1, 3.0, 30.0]))
    options = dict(generator=generator, dtype=torch.float64)
    students = scale * torch.randn(N, size, C, **options)
    teachers = scale * torch.randn(M, size, C, **options)
    labels = torch.randint(C, (size,), generator=generator)
    return students, teachers, labels, draw(st.integers(1, size - 1))


def losses_and_gradient(loss, students, teachers, labels):
    students = students.clone().requires_grad_()
    terms = loss(students, teachers, labels)
    # Sums over the images in place of means.
    terms = {name: len(labels) * values for name, values in terms.items()}
    sum(values.sum() for values in terms.values()).backward()
    gates = [parameter.grad.clone() for parameter in loss.parameters()]
    loss.zero_grad()
    return terms, students.grad, gates


def check_parts(loss, batch, **tolerance):
    students, teachers, labels, cut = batch
    whole, grad, gates = losses_and_gradient(loss, students, teachers, labels)
    (first, grad_1, gates_1), (second, grad_2, gates_2) = (
        losses_and_gradient(loss, students[:, part], teachers[:, part], labels[part])
        for part in (slice(cut), slice(cut, None))
    )
    close = torch.testing.assert_close
    close(whole, {name: first[name] + second[name] for name in first}, **tolerance)
    close(grad, torch.cat([grad_1, grad_2], 1), **tolerance)
    close(gates, [a + b for a, b in zip(gates_1, gates_2)], **tolerance)


@pytest.mark.parametrize('name', COLLECTORS)
@pytest.mark.parametrize('correlation', DCKDLoss.CORRELATIONS)
@given(batch=batches(), include_self=st.booleans())
@settings(max_examples=15)
def test_dckd_loss(name, correlation, batch, include_self):
    loss = DCKDLoss(
        gamma=0.5, correlation=correlation, collector=make_collector(name, include_self)
    )
    check_parts(loss, batch)


@given(batch=batches())
@settings(max_examples=15)
def test_gated_ensemble_loss(batch):
    torch.manual_seed(0)
    loss = GatedEnsembleLoss(N, C).double()
    torch.nn.init.normal_(loss.gate.weight)
    check_parts(loss, batch)
