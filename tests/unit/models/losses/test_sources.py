# Copyright (c) mmdckd contributors. All rights reserved.
"""What losses say of who is in them, held to what their values change with."""

from itertools import product

import pytest
import torch

from mmdckd.models.losses import BaseCollectiveLoss, DCKDLoss, GatedEnsembleLoss

STUDENTS = ['a', 'b', 'c']
TEACHERS = ['s', 't']
CLASSES = 5
COLLECTORS = [
    'mean',
    'max',
    'logit_mean',
    'min_logit',
    'naive',
    'linear',
    'confidence',
    'cross_entropy',
]


def draw(*shape):
    return 3 * torch.randn(*shape, 16, CLASSES)


def tried_out(loss, lagged=False):
    """Term and student to the members whose logits change the value."""
    torch.manual_seed(0)
    labels = torch.arange(16) % CLASSES
    right = 9.0 * torch.eye(CLASSES)[labels]
    groups = dict(preds_S=STUDENTS, preds_T=TEACHERS)
    if lagged:
        groups['preds_P'] = [f'lagged {name}' for name in STUDENTS]
    logits = {group: draw(len(members)) for group, members in groups.items()}
    before = loss(gt_labels=labels, **logits)
    found = {key: set() for key in product(STUDENTS, before)}
    for group, members in groups.items():
        for index, member in enumerate(members):
            # As one of many, as the best, as the worst.
            for other in (draw(), right, -right):
                changed = logits[group].clone()
                changed[index] = other
                after = loss(gt_labels=labels, **{**logits, group: changed})
                for term in before:
                    for i, student in enumerate(STUDENTS):
                        if before[term][i] != after[term][i] and student != member:
                            found[student, term].add(member)
    return found


def told(loss, lagged=False):
    peers = [f'lagged {name}' for name in STUDENTS] if lagged else STUDENTS
    return {
        (student, term): set(names) - {student}
        for i, student in enumerate(STUDENTS)
        for term, names in loss.sources(i, peers, TEACHERS).items()
    }


@pytest.mark.parametrize('lagged', [False, True])
@pytest.mark.parametrize('include_self', [False, True])
@pytest.mark.parametrize('include_teacher', [False, True])
@pytest.mark.parametrize('name', COLLECTORS)
def test_dckd_tells_who_is_in_it(name, include_teacher, include_self, lagged):
    loss = DCKDLoss(
        collector=dict(
            type=name, include_self=include_self, include_teacher=include_teacher
        )
    )
    assert told(loss, lagged) == tried_out(loss, lagged)


@pytest.mark.parametrize(
    'weights',
    [dict(alpha=0.0), dict(beta=0.0), dict(gamma=0.0), dict(alpha=0.0, gamma=0.0)],
)
def test_a_term_without_weight_has_no_one_in_it(weights):
    loss = DCKDLoss(**weights)
    assert told(loss) == tried_out(loss)


def test_gated_ensemble_tells_who_is_in_it():
    loss = GatedEnsembleLoss(num_students=3, num_classes=CLASSES)
    assert told(loss) == tried_out(loss)


def test_a_loss_that_does_not_tell_has_all_in_it():

    class Loss(BaseCollectiveLoss):
        needs_teacher = True

        def check_cohort(self, num_students, num_teachers):
            pass

        def forward(self, preds_S, preds_T=None, gt_labels=None, preds_P=None):
            return dict(all=preds_S.sum((1, 2)))

    assert Loss().sources(1, STUDENTS, TEACHERS) == {'': ['a', 'c', 's', 't']}
    Loss.needs_teacher = False
    assert Loss().sources(1, STUDENTS, TEACHERS) == {'': ['a', 'c']}
