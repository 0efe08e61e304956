# Copyright (c) mmdckd contributors. All rights reserved.
"""Images without labels count by the agreement of the students."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.networks import digits, distil
from mmdckd.models.collectors import AgreementCollector, build_collector
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.tasks import TASKS
from mmdckd.models.tasks.labels import remove_labels


def agreement_of(logits):
    """By counting pairs, image by image."""
    number, batch, _ = logits.shape
    top = logits.argmax(-1)
    pairs = [(i, j) for i in range(number) for j in range(number) if i != j]
    return torch.tensor(
        [sum(float(top[i, b] == top[j, b]) for i, j in pairs) for b in range(batch)]
    ) / len(pairs)


def logits_of(seed, number=4, batch=6, classes=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, batch, classes, generator=generator)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    number=st.integers(2, 5),
    collector=st.sampled_from(['mean', 'max', 'logit_mean']),
    labels=st.one_of(st.none(), st.lists(st.integers(-1, 2), min_size=6, max_size=6)),
)
def test_the_gradient_of_an_image_is_weighted(seed, number, collector, labels):
    logits = logits_of(seed, number)
    weights = agreement_of(logits)
    if labels is not None:
        labels = torch.tensor(labels)
        weights[labels >= 0] = 1
    assert ((weights >= 0) & (weights <= 1)).all()

    def gradient(collector):
        z = logits.clone().requires_grad_()
        loss = DCKDLoss(alpha=0, gamma=0, collector=collector)
        loss(z, None, labels)['collective'].sum().backward()
        return z.grad

    found = gradient(dict(type='agreement', collector=collector))
    torch.testing.assert_close(
        found, weights[:, None] * gradient(collector), atol=1e-6, rtol=1e-4
    )


def test_images_with_labels_have_the_targets_of_the_collector():
    log_probs = logits_of(0).log_softmax(-1)
    labels = torch.tensor([0, -1, 2, 1, -1, 0])
    plain = build_collector('mean')(None, log_probs, gt_labels=labels)
    found = AgreementCollector('mean')(None, log_probs, gt_labels=labels)
    assert torch.equal(found[:, labels >= 0], plain[:, labels >= 0])
    assert not torch.equal(found[:, labels < 0], plain[:, labels < 0])
    torch.testing.assert_close(found.sum(-1), torch.ones(4, 6))
    soft = torch.eye(3)[labels.clamp_min(0)] * (labels >= 0)[:, None]
    assert torch.equal(
        AgreementCollector('mean')(None, log_probs, gt_labels=soft), found
    )


def test_the_statistic_is_its_mean():
    task, logits = TASKS['classification'], logits_of(3)
    torch.testing.assert_close(task.agreement_by_image(logits), agreement_of(logits))
    torch.testing.assert_close(
        task.agreement(logits), task.agreement_by_image(logits).mean()
    )


def test_in_a_cohort_only_unlabeled_images_count_less():
    def collective(without, collector):
        distiller = dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss_a=dict(type='mmdckd.DCKDLoss', collector=collector)
            ),
        )
        model = distil(num_students=3, distiller=distiller)
        batch = digits()
        for i in without:
            remove_labels(batch['data_samples'][i])
        data = model.train().data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
        return losses['collective.student0.loss_a.collective']

    weighted = dict(type='agreement')
    every, some, none = (
        collective(without, weighted) for without in ([], range(5), range(16))
    )
    assert every == collective([], 'logit_mean') > some > none


def test_what_cannot_be_weighted():
    with pytest.raises(ValueError, match='Invalid `collector` of AgreementCollector'):
        AgreementCollector('naive')
    with pytest.raises(ValueError, match='the same for every image.*got HeldOut'):
        AgreementCollector('held_out')
    with pytest.raises(ValueError, match='the same for every image.*got Agreement'):
        AgreementCollector('agreement')
    with pytest.raises(ValueError, match='combines teachers only, got Agreement'):
        DCKDLoss(teacher_collector='agreement')
    with pytest.raises(ValueError, match='expected 2 or more for AgreementCollector'):
        AgreementCollector(dict(type='mean', include_self=True)).check_cohort(1, 0)
    with pytest.raises(
        ValueError, match='got AgreementCollector, which supports one class'
    ):
        AgreementCollector().use_task(TASKS['multi_label'])
