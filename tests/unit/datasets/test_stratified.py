# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdckd.datasets.stratified import stratified_subset


def choose(labels, number, num_classes):
    return stratified_subset(labels, number, num_classes, 'num_images')


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(3, 9), min_size=1, max_size=9),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_choice_is_stratified_and_fixed(counts, seed, data):
    labels = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(len(counts)), counts)
    )
    number = data.draw(st.integers(1, min(counts) * len(counts)))
    chosen = choose(labels, number, len(counts))
    assert len(set(chosen)) == number and (np.diff(chosen) > 0).all()
    shares = np.bincount(labels[chosen], minlength=len(counts))
    assert shares.max() - shares.min() <= 1
    np.testing.assert_array_equal(chosen, choose(labels, number, len(counts)))
    # What a smaller number chooses, a larger one has too.
    smaller = choose(labels, data.draw(st.integers(1, number)), len(counts))
    assert set(smaller) <= set(chosen)


def test_the_choice_is_that_of_the_first_release():
    """Published results are of these images."""
    labels = np.array([0, 1, 2] * 5)
    assert choose(labels, 4, 3).tolist() == [1, 6, 8, 9]


@pytest.mark.parametrize('number', [0, -1, 13, 3.0, True, '3'])
def test_numbers_that_cannot_be(number):
    labels = np.array([0] * 4 + [1] * 5 + [2] * 6)
    with pytest.raises(ValueError, match='`num_images`: .* from 1 to 12, got'):
        choose(labels, number, 3)
