# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from mmdckd.console.duration import duration
from mmdckd.console.pace import Pace


def lines(total, seconds_a_step, done=0, **kwargs):
    """The times of the lines, and how many steps each is about."""
    now = [0.0]
    pace = Pace(total, done, clock=lambda: now[0], **kwargs)
    found = []
    for step in range(done + 1, total + 1):
        now[0] += seconds_a_step
        since = pace.step(step)
        if since:
            found.append((now[0], since))
    return found


@pytest.mark.parametrize('total', [10, 15, 19, 20, 29, 51, 680, 1001])
def test_a_short_run_has_at_least_ten_lines(total):
    found = lines(total, 0.01)
    assert 10 <= len(found) <= 20
    assert found[0] == (0.01, 1)


def test_with_fewer_steps_each_has_a_line():
    assert len(lines(4, 0.01)) == 4


def test_a_long_run_has_one_line_each_ten_seconds():
    found = lines(20_000, 0.3)
    times = [time for time, _ in found]
    assert min(b - a for a, b in zip(times, times[1:])) >= 10
    assert max(b - a for a, b in zip(times, times[1:])) < 10.5


def test_a_line_is_about_all_steps_since_the_one_before():
    found = lines(680, 0.01)
    assert sum(since for _, since in found) == 613  # the last line's step
    assert [since for _, since in found] == [1] + [68] * 9


def test_by_time_alone():
    assert lines(100, 0.01, lines=0) == []
    assert len(lines(100, 1.0, lines=0)) == 10


def test_a_resumed_run_counts_what_it_does_itself():
    now = [0.0]
    pace = Pace(100, 50, clock=lambda: now[0])
    assert pace.seconds_left is None
    for step in (51, 52):
        now[0] += 2.0
        pace.step(step)
    assert pace.seconds == 4.0
    assert pace.seconds_left == 48 * 2.0
    assert lines(100, 0.01, done=50)[0] == (0.01, 1)


@pytest.mark.parametrize(
    'seconds, text',
    [
        (59.4, '59 s'),
        (59.6, '1 min 00 s'),
        (125, '2 min 05 s'),
        (3599.6, '1 h 00 min'),
        (7380, '2 h 03 min'),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
