# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdckd.evaluation import (
    MOST_CLASSES,
    CohortSums,
    cohort_sums,
    correlation_distance,
)

NAMES = ['main', 'peer', 'wide', 'ensemble', 'teacher']
STUDENTS = NAMES[:3]


def predictions(seed=0, count=120, num_classes=5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, count)
    # Right somewhat more often than by chance.
    logits = rng.standard_normal((len(NAMES), count, num_classes))
    logits += 1.2 * np.eye(num_classes)[labels]
    scores = torch.from_numpy(logits).softmax(-1)
    return dict(zip(NAMES, scores)), torch.from_numpy(labels)


def sums_of(scores, labels, teachers=('teacher',)):
    sums = CohortSums(STUDENTS, teachers)
    for start in range(0, len(labels), 50):
        sums.add(
            {name: each[start : start + 50] for name, each in scores.items()},
            labels[start : start + 50],
        )
    return sums


def test_agreement_is_counted_image_by_image():
    scores, labels = predictions()
    top = {name: each.argmax(1) for name, each in scores.items()}
    sums = sums_of(scores, labels)
    for i, one in enumerate(NAMES):
        for j, other in enumerate(NAMES):
            assert sums.agreement[i, j] == pytest.approx(
                float((top[one] == top[other]).float().mean())
            )
    np.testing.assert_array_equal(sums.arrays()['agreement'], sums.agreement)
    scalars = sums.scalars()
    pairs = [('main', 'peer'), ('main', 'wide'), ('peer', 'wide')]
    assert scalars['cohort/agreement'] == pytest.approx(
        np.mean([(top[a] == top[b]).double().mean() for a, b in pairs])
    )


def test_agreement_with_the_teacher_is_split():
    scores, labels = predictions()
    scalars = sums_of(scores, labels).scalars()
    teacher = scores['teacher'].argmax(1)
    for name in NAMES[:4]:
        same = (scores[name].argmax(1) == teacher).double()
        right = teacher == labels
        assert 0 < right.sum() < len(labels)
        assert scalars[f'{name}/agreement_right'] == pytest.approx(
            float(same[right].mean())
        )
        assert scalars[f'{name}/agreement_wrong'] == pytest.approx(
            float(same[~right].mean())
        )
    assert 'teacher/agreement_right' not in scalars


def test_a_teacher_without_mistakes_has_none_to_share():
    scores, labels = predictions()
    scores['teacher'] = torch.eye(5, dtype=torch.float64)[labels]
    scalars = sums_of(scores, labels).scalars()
    assert 'main/agreement_right' in scalars
    assert 'main/agreement_wrong' not in scalars


def test_without_teacher_nothing_is_of_it():
    scores, labels = predictions()
    del scores['teacher']
    scalars = sums_of(scores, labels, ()).scalars()
    assert 'cohort/agreement' in scalars and 'main/nll' in scalars
    assert not any('distance' in key or 'right' in key for key in scalars)


def test_the_first_teacher_is_found_by_its_name():
    scores, labels = predictions()
    expected = sums_of(scores, labels).scalars()
    # Before the students, and with another one behind.
    moved = {'teacher': scores['teacher'], **scores, 'other': scores['main']}
    found = sums_of(moved, labels, ('teacher', 'other')).scalars()
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    # One that does not predict is none.
    del scores['teacher']
    assert sums_of(scores, labels).scalars() == sums_of(scores, labels, ()).scalars()


def test_every_sum_is_of_all_processes(monkeypatch):
    """Of two with the same images: counts double, and no rate changes."""
    monkeypatch.setattr(cohort_sums, 'all_reduce', lambda tensor: tensor.mul_(2))
    scores, labels = predictions()
    sums = sums_of(scores, labels)
    sums.add_target('target', scores['main'][None], labels)
    scalars, arrays = sums.scalars(), sums.arrays()
    sums.reduce()
    assert sums.scalars() == pytest.approx(scalars)
    for key, array in sums.arrays().items():
        if key in ('confusion', 'bins'):
            np.testing.assert_allclose(array, 2 * arrays[key])
        else:
            np.testing.assert_array_equal(array, arrays[key])


def test_the_temperature_is_that_which_is_recorded():
    scores, labels = predictions()
    sums = CohortSums(['main'], tau=2.0)
    sums.add(dict(main=scores['main']), labels)
    soft = (scores['main'].log() / 2).softmax(1)
    entropy = float(torch.special.entr(soft).sum(1).mean())
    assert sums.arrays()['tau'] == 2.0
    assert sums.scalars()['main/soft_entropy'] == pytest.approx(entropy)


def test_targets_are_members_that_only_have_soft_statistics():
    scores, labels = predictions()
    sums = sums_of(scores, labels)
    targets = torch.rand(3, len(labels), 5, generator=torch.Generator().manual_seed(0))
    targets /= targets.sum(-1, keepdim=True)
    sums.add_target('target', targets, labels)
    own = {
        key: value for key, value in sums.scalars().items() if key.startswith('target/')
    }
    entropies = -(targets * targets.log()).sum(-1)
    assert own.pop('target/soft_entropy') == pytest.approx(
        float(entropies.mean()), rel=1e-6
    )
    assert set(own) == {
        'target/correlation_distance',
        'target/correlation_distance_non_target',
    }
    arrays = sums.arrays()
    assert list(arrays['members']) == [*NAMES, 'target']
    for label in range(5):
        np.testing.assert_allclose(
            arrays['correlation'][-1, label],
            targets[:, labels == label].mean((0, 1)),
            rtol=1e-5,
        )
    assert len(arrays['confusion']) == len(arrays['bins']) == len(NAMES)


def rows(seed, count=6):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.dirichlet(np.ones(count), count))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.booleans())
def test_distance_is_a_metric(seed, other_seed, non_target):
    """Symmetric, 0 for equal ones alone, at most 1."""
    one, other = rows(seed), rows(other_seed)
    distance = correlation_distance(one, other, non_target)
    assert distance == pytest.approx(correlation_distance(other, one, non_target))
    assert 0 <= distance <= 1
    assert (distance < 1e-12) == (seed == other_seed)


def test_distance_by_hand():
    one = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    other = torch.tensor([[0.7, 0.1, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    assert correlation_distance(one, other) == pytest.approx(0.2 / 3)
    # Of what is not the class itself: .6, .4 against 1/3, 2/3.
    assert correlation_distance(one, other, non_target=True) == pytest.approx(
        (0.6 - 1 / 3) / 3
    )
    # A class without images does not count.
    one[2] = other[2] = torch.nan
    assert correlation_distance(one, other) == pytest.approx(0.2 / 2)


def test_how_sure_a_member_is_does_not_matter_without_the_target():
    one = rows(0)
    sure = one.clone()
    sure *= 0.5
    sure += torch.diag(1 - sure.sum(1))
    assert correlation_distance(one, sure) > 0.1
    assert correlation_distance(one, sure, non_target=True) < 1e-12


def test_no_matrices_are_kept_of_many_classes():
    """100,000 classes would take 80 GB a matrix."""
    count = MOST_CLASSES + 1
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.random((4, count))).softmax(-1)
    labels = torch.tensor([0, 1, 2, count - 1])
    sums = CohortSums(['main', 'peer'], ['teacher'])
    sums.add(dict(main=scores, peer=scores, teacher=scores), labels)
    sums.add_target('target', scores[None], labels)
    sums.reduce()
    assert not sums.has_matrices and sums.num_classes == count
    assert all(
        tensor.numel() <= count
        for each in [*sums.members.values(), *sums.targets.values()]
        for tensor in each.tensors()
    )
    assert {'correlation', 'confusion'} & {*sums.arrays()} == set()
    scalars = sums.scalars()
    assert scalars['main/soft_entropy'] > 0 and scalars['main/nll'] > 0
    assert 'main/correlation_distance' not in scalars
    # Of fewer they are.
    few = CohortSums(['main'])
    few.add(dict(main=scores[:, :5].softmax(-1)), labels.clamp(max=4))
    assert few.arrays()['correlation'].shape == (1, 5, 5)
