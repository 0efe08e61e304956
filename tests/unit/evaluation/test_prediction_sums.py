# Copyright (c) mmdckd contributors. All rights reserved.
"""The statistics of one member, held against scikit-learn, SciPy and NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import confusion_matrix, log_loss

from mmdckd.evaluation import PredictionSums, soften

TAU = 4.0


def predictions(count=200, num_classes=7, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    logits = scale * rng.standard_normal((count, num_classes))
    return logits, rng.integers(0, num_classes, count)


def sums_of(logits, labels, splits=1):
    sums = PredictionSums(logits.shape[1], TAU, torch.device('cpu'))
    scores = torch.from_numpy(softmax(logits, 1))
    for part, own in zip(
        scores.tensor_split(splits), torch.from_numpy(labels).tensor_split(splits)
    ):
        sums.add(part, own)
    return sums


def calibration_error(probs, labels):
    """The definition, bin by bin: (0, 1/15], (1/15, 2/15], ..."""
    confidence, error = probs.max(1), 0.0
    for low in range(15):
        chosen = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if chosen.any():
            right = (probs.argmax(1) == labels)[chosen].mean()
            error += chosen.mean() * abs(right - confidence[chosen].mean())
    return error


def test_statistics_are_those_of_other_libraries():
    logits, labels = predictions()
    probs = softmax(logits, 1)
    one_hot = np.eye(7)[labels]
    assert sums_of(logits, labels).statistics() == pytest.approx(
        dict(
            entropy=entropy(probs, axis=1).mean(),
            soft_entropy=entropy(softmax(logits / TAU, 1), axis=1).mean(),
            nll=log_loss(labels, probs, labels=range(7)),
            brier=((probs - one_hot) ** 2).sum(1).mean(),
            ece=calibration_error(probs, labels),
        )
    )


def test_confusions_and_class_correlation():
    logits, labels = predictions()
    sums = sums_of(logits, labels)
    np.testing.assert_array_equal(
        sums.confusion, confusion_matrix(labels, logits.argmax(1))
    )
    soft = softmax(logits / TAU, 1)
    for label in range(7):
        np.testing.assert_allclose(
            sums.correlation[label], soft[labels == label].mean(0)
        )


def test_a_class_without_images_has_no_correlation():
    logits, labels = predictions()
    correlation = sums_of(logits[labels != 3], labels[labels != 3]).correlation
    assert correlation[3].isnan().all()
    assert not correlation[[0, 1, 2, 4, 5, 6]].isnan().any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.integers(2, 5))
def test_batches_make_no_difference(splits, count, num_classes):
    logits, labels = predictions(count, num_classes)
    whole, parts = sums_of(logits, labels), sums_of(logits, labels, splits)
    assert parts.statistics() == pytest.approx(whole.statistics())
    for one, other in zip(whole.tensors(), parts.tensors()):
        torch.testing.assert_close(one, other)


def test_a_member_that_is_sure_has_finite_statistics():
    logits, labels = predictions(scale=1e4)
    for value in sums_of(logits, labels).statistics().values():
        assert np.isfinite(value)


def test_right_and_sure_is_the_best_there_is():
    labels = np.arange(7)
    statistics = sums_of(1e3 * np.eye(7), labels).statistics()
    assert statistics.pop('soft_entropy') == pytest.approx(0, abs=1e-12)
    assert set(statistics.values()) == {0.0}


@pytest.mark.parametrize(
    'confidence, index', [(1 / 15, 0), (3 / 15, 2), (0.5, 7), (0.99, 14), (1.0, 14)]
)
def test_an_upper_bound_is_in_its_bin(confidence, index):
    # Of 15 classes, so that the largest probability can be 1/15.
    probs = torch.full((1, 15), (1 - confidence) / 14, dtype=torch.float64)
    probs[0, 0] = confidence
    sums = PredictionSums(15, TAU, torch.device('cpu'))
    sums.add(probs, torch.tensor([0]))
    assert sums.bins[:, 0].argmax() == index


def test_softened_scores_are_those_of_softened_logits():
    logits = torch.from_numpy(predictions()[0])
    torch.testing.assert_close(
        soften(logits.softmax(1), TAU), (logits / TAU).log_softmax(1)
    )
