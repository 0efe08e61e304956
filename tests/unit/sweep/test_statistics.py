# Copyright (c) mmdckd contributors. All rights reserved.
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmdckd.sweep.statistics import paired_difference, summarize

VALUES = st.lists(st.floats(0, 100), min_size=2, max_size=12)


def test_five_values_by_hand():
    # Sum 25, squared deviations 9 + 1 + 0 + 1 + 9 = 20, t(4, 0.975) = 2.7764.
    summary = summarize([2, 4, 5, 6, 8])
    assert summary.count == 5
    assert summary.mean == 5
    assert summary.std == pytest.approx(math.sqrt(20 / 4))
    assert summary.margin == pytest.approx(2.7764451 * math.sqrt(5 / 5))
    assert summary.low == pytest.approx(5 - 2.7764451)
    assert summary.high == pytest.approx(5 + 2.7764451)
    assert summary.clear_of_zero


# Tables of Student's t, two-sided 95 %.
@pytest.mark.parametrize(
    'count, quantile', [(2, 12.706), (3, 4.303), (6, 2.571), (31, 2.042)]
)
def test_quantiles_are_those_of_the_tables(count, quantile):
    values = [(-1) ** i * (i + 1) for i in range(count)]
    summary = summarize(values)
    assert summary.margin / (summary.std / math.sqrt(count)) == pytest.approx(
        quantile, abs=5e-4
    )


@given(VALUES)
def test_interval_is_scipys(values):
    summary = summarize(values)
    assert summary.mean == pytest.approx(sum(values) / len(values))
    assert summary.std == pytest.approx(stats.tstd(values), abs=1e-9)
    error = stats.sem(values)
    if error > 1e-6:
        low, high = stats.t.interval(
            0.95, len(values) - 1, sum(values) / len(values), error
        )
        assert summary.low == pytest.approx(low)
        assert summary.high == pytest.approx(high)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=2))
def test_paired_difference_is_the_paired_t_test(pairs):
    ours = {seed: pair[0] for seed, pair in enumerate(pairs)}
    theirs = {seed: pair[1] for seed, pair in enumerate(pairs)}
    difference = paired_difference(ours, theirs)
    if difference.std > 1e-6:
        test = stats.ttest_rel(list(ours.values()), list(theirs.values()))
        low, high = test.confidence_interval(0.95)
        assert difference.low == pytest.approx(low, abs=1e-9)
        assert difference.high == pytest.approx(high, abs=1e-9)
        if abs(test.pvalue - 0.05) > 1e-6:
            assert difference.clear_of_zero == (test.pvalue < 0.05)


def test_paired_difference_takes_the_seeds_of_both():
    difference = paired_difference(
        {0: 80.0, 1: 70.0, 2: 1.0}, {1: 69.0, 0: 78.0, 3: 2.0}
    )
    assert difference.count == 2
    assert difference.mean == 1.5
    assert difference.std == pytest.approx(math.sqrt(0.5))


def test_a_single_value_has_no_spread():
    summary = summarize([3.0])
    assert summary.mean == 3
    assert math.isnan(summary.std) and math.isnan(summary.margin)
    assert not summary.clear_of_zero


def test_nothing_cannot_be_summarized():
    with pytest.raises(ValueError, match='expected one or more, got none'):
        summarize([])
    with pytest.raises(ValueError, match='expected one or more, got none'):
        paired_difference({0: 1.0}, {1: 1.0})


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_value_that_is_not_finite_has_no_interval(value):
    summary = summarize([value, 1.0])
    assert not math.isfinite(summary.mean)
    assert math.isnan(summary.std) and math.isnan(summary.margin)
    assert not summary.clear_of_zero
    assert math.isnan(summarize([math.inf, -math.inf]).mean)
