# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mmdckd.sweep.display import duration
from mmdckd.sweep.plan import Run
from mmdckd.sweep.running import own_slots
from mmdckd.sweep.scheduler import Scheduler, make_slots


@given(st.integers(1, 64), st.integers(1, 64))
def test_jobs_share_the_cores(jobs, cores):
    slots = make_slots(jobs, cores, [])
    assert len(slots) == jobs
    threads = [int(slot['OMP_NUM_THREADS']) for slot in slots]
    assert min(threads) >= 1
    assert sum(threads) <= max(cores, jobs)
    assert not any('CUDA_VISIBLE_DEVICES' in slot for slot in slots)


def test_jobs_take_turns_with_the_gpus():
    slots = make_slots(5, 10, ['0', 'GPU-1'])
    assert [slot['CUDA_VISIBLE_DEVICES'] for slot in slots] == [
        '0',
        'GPU-1',
        '0',
        'GPU-1',
        '0',
    ]
    assert {slot['OMP_NUM_THREADS'] for slot in slots} == {'2'}


@pytest.mark.parametrize('jobs', [None, 3, 100])
def test_the_cores_are_shared_by_the_runs_that_there_are(monkeypatch, jobs):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: range(16), raising=False)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    slots = own_slots(jobs, 2)
    assert [slot['OMP_NUM_THREADS'] for slot in slots] == ['8', '8']
    assert len(own_slots(jobs, 200)) == (jobs or 16)


def test_a_run_whose_teacher_failed_says_so(tmp_path):
    """Whatever an interrupted run has left in its log."""
    settings = (Config(), '0', 0)
    teacher = Run('teacher', *settings, None, '', str(tmp_path))
    student = Run('student', *settings, teacher, '', str(tmp_path))
    scheduler = Scheduler([student], [{}])
    assert scheduler.poll() == [(student, False)]
    assert scheduler.faults == {student: 'its teacher failed'}


def test_durations_read_well():
    assert duration(0.4) == '0 s'
    assert duration(59.6) == '1 min 00 s'
    assert duration(754) == '12 min 34 s'
    assert duration(7384) == '2 h 03 min'
