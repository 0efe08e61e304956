# Copyright (c) mmdckd contributors. All rights reserved.
"""What counts as a number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdckd.values import is_finite_number, is_whole


@given(st.integers(), st.none() | st.integers())
def test_whole_numbers(value, least):
    assert is_whole(value, least) == (least is None or value >= least)
    assert not is_whole(float(value % 2**53), least)


@given(st.floats())
def test_finite_numbers(value):
    assert is_finite_number(value) == np.isfinite(value)
    assert is_finite_number(np.float64(value)) == np.isfinite(value)


@pytest.mark.parametrize('value', [True, False, None, '1', 1j, [1], np.ones(1)])
def test_what_is_no_number(value):
    assert not is_whole(value)
    assert not is_whole(value, least=-1)
    assert not is_finite_number(value)
