# Copyright (c) mmdckd contributors. All rights reserved.
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdckd.benchmark.progress import (ProgressFileHook, read_progress,
                                       seconds_left)


def test_nothing_is_known_at_the_start():
    assert seconds_left(['kd', 'dml'], [('plain', 4., 0.)], {}, 2) is None


def test_nothing_is_left_at_the_end():
    assert seconds_left([], [], dict(kd=[10.]), 2) == 0


def test_a_run_takes_what_the_others_of_its_name_took():
    durations = dict(kd=[10., 20.], dml=[60.])
    assert seconds_left(['kd', 'kd'], [], durations, 1) == 30
    assert seconds_left(['kd', 'kd'], [], durations, 2) == 15
    # dckd is unknown: the average of 15 and 60.
    assert seconds_left(['kd', 'dckd'], [], durations, 1) == 15 + 37.5


def test_a_run_under_way_goes_on_as_it_went():
    # A quarter in 5 seconds: 15 to go; of its name one more, 20.
    assert seconds_left(['kd'], [('kd', 5., .25)], {}, 1) == 35
    # Two at a time cannot end before the longest of them.
    assert seconds_left([], [('kd', 5., .25), ('dml', 1., .5)], {}, 2) == 15


@given(
    st.lists(st.sampled_from('abc')),
    st.lists(
        st.tuples(st.sampled_from('abc'), st.floats(0, 100), st.floats(0, 1)),
        max_size=3), st.integers(1, 4))
def test_estimates_are_no_less_than_nothing(waiting, running, slots):
    left = seconds_left(waiting, running, dict(a=[1., 2.]), slots)
    assert left >= 0
    assert left <= seconds_left([*waiting, 'a'], running, dict(a=[1., 2.]),
                                slots)


def test_progress_is_written_and_read(tmp_path):
    path = str(tmp_path / 'progress.txt')
    assert read_progress(path) == 0
    hook = ProgressFileHook(path, interval=0)
    hook.after_train_iter(SimpleNamespace(iter=9, max_iters=40))
    assert read_progress(path) == 0.25
    rare = ProgressFileHook(path, interval=1e9)
    rare.after_train_iter(SimpleNamespace(iter=19, max_iters=40))
    rare.after_train_iter(SimpleNamespace(iter=29, max_iters=40))
    assert read_progress(path) == pytest.approx(0.5)
