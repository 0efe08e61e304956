# Copyright (c) mmdckd contributors. All rights reserved.
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdckd.sweep.progress import ProgressFileHook, read_progress, seconds_left


def test_nothing_is_known_at_the_start():
    assert seconds_left(['kd', 'dml'], [('plain', 4.0, None)], {}, 2) is None


def test_nothing_is_left_at_the_end():
    assert seconds_left([], [], dict(kd=[10.0]), 2) == 0


def test_a_run_takes_what_the_others_of_its_name_took():
    durations = dict(kd=[10.0, 20.0], dml=[60.0])
    assert seconds_left(['kd', 'kd'], [], durations, 1) == 30
    assert seconds_left(['kd', 'kd'], [], durations, 2) == 15
    # dckd is unknown: the average of 15 and 60.
    assert seconds_left(['kd', 'dckd'], [], durations, 1) == 15 + 37.5


def test_a_run_under_way_goes_on_as_it_went():
    # 5 seconds so far and 15 to go; of its name one more, 20.
    assert seconds_left(['kd'], [('kd', 5.0, 15.0)], {}, 1) == 35
    # Two at a time cannot end before the longest of them.
    assert seconds_left([], [('kd', 5.0, 15.0), ('dml', 1.0, 1.0)], {}, 2) == 15


@given(
    st.lists(st.sampled_from('abc')),
    st.lists(
        st.tuples(
            st.sampled_from('abc'), st.floats(0, 100), st.none() | st.floats(0, 100)
        ),
        max_size=3,
    ),
    st.integers(1, 4),
)
def test_estimates_are_no_less_than_nothing(waiting, running, slots):
    left = seconds_left(waiting, running, dict(a=[1.0, 2.0]), slots)
    assert left >= 0
    assert left <= seconds_left([*waiting, 'a'], running, dict(a=[1.0, 2.0]), slots)


@pytest.fixture
def clock(monkeypatch):
    times = SimpleNamespace(now=100.0)
    monkeypatch.setattr('mmdckd.sweep.progress.time.monotonic', lambda: times.now)
    return times


def test_progress_is_written_and_read(tmp_path, clock):
    path = str(tmp_path / 'progress.txt')
    assert read_progress(path) == (0, None)
    hook = ProgressFileHook(path, interval=5.0)
    runner = SimpleNamespace(iter=0, max_iters=40)
    hook.before_train(runner)
    for runner.iter in range(10):
        clock.now += 1
        hook.after_train_iter(runner)
    # Written after the first and the sixth of 40 iterations, a second each.
    assert read_progress(path) == (6 / 40, 34.0)


def test_the_pace_is_that_since_the_run_was_resumed(tmp_path, clock):
    path = str(tmp_path / 'progress.txt')
    hook = ProgressFileHook(path)
    runner = SimpleNamespace(iter=30, max_iters=40)
    hook.before_train(runner)
    clock.now += 8
    runner.iter = 31
    hook.after_train_iter(runner)
    assert read_progress(path) == (32 / 40, 32.0)


def test_the_progress_of_a_phase_is_that_of_the_run(tmp_path, clock):
    """Iterations 1 to 100 of 400, then 101 to 400, a second each."""
    path, told = str(tmp_path / 'progress.txt'), []
    for before, length in ((0.0, 100), (0.25, 300)):
        hook = ProgressFileHook(path, before=before, share=length / 400)
        runner = SimpleNamespace(iter=0, max_iters=length)
        hook.before_train(runner)
        for runner.iter in range(100):
            clock.now += 1
            hook.after_train_iter(runner)
        told.append(read_progress(path))
    assert told == [(0.25, 300), (0.5, 200)]


def test_a_run_outlives_a_full_disk(monkeypatch):
    written = []

    def write_text(path, text):
        written.append(path)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('mmdckd.sweep.progress.write_text', write_text)
    hook = ProgressFileHook('progress.txt', interval=0)
    runner = SimpleNamespace(iter=0, max_iters=2)
    hook.before_train(runner)
    hook.after_train_iter(runner)
    assert written == ['progress.txt']
