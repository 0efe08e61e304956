# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest
from filelock import FileLock
from mmengine.config import Config
from submitit import SlurmJob

from helpers.sweeps import write_cohort, write_spec, write_teacher
from mmdckd.sweep import scheduler as scheduler_module
from mmdckd.sweep.jobs import ClusterJobs, Command, Processes
from mmdckd.sweep.plan import Run
from mmdckd.sweep.running import run_sweep
from mmdckd.sweep.scheduler import Process, Scheduler
from mmdckd.sweep.spec import load_spec

#: Prints a variable and its process, then waits to be ended.
WAIT = (
    'import os, sys; print(os.environ["WHO"], os.getpid(), flush=True); os.read(0, 1)'
)
#: Notes how it is called, and what it is to run.
SBATCH = """#!/bin/sh
echo "$@" >> "$NOTES/calls"
cat "$1" >> "$NOTES/script"
echo Submitted batch job 12
"""
#: Knows the states of the jobs that a file lists.
SACCT = '#!/bin/sh\ncat "$NOTES/states"\n'


def command(tmp_path, code, who='student'):
    return Command(
        [sys.executable, '-c', code],
        str(tmp_path / f'{who}.log'),
        dict(WHO=who),
        str(tmp_path / f'{who}.job'),
    )


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_job_of_its_own_has_the_log_and_the_environment(tmp_path):
    cluster = ClusterJobs(dict(cluster='local'), str(tmp_path / 'jobs'))
    code = 'import os; print("I am", os.environ["WHO"])'
    names = ('student', 'teacher')
    jobs = cluster.start([command(tmp_path, code, name) for name in names])
    assert [job.wait() for job in jobs] == [0, 0]
    for name in names:
        assert (tmp_path / f'{name}.log').read_text() == f'I am {name}\n'


@pytest.mark.slow
@pytest.mark.parametrize('handler', [signal.default_int_handler, signal.SIG_IGN])
def test_a_job_that_is_stopped_leaves_no_process(tmp_path, handler):
    """In the background, too, where a shell has interrupts ignored."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        stop_a_job(tmp_path)
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def stop_a_job(tmp_path):
    cluster = ClusterJobs(dict(cluster='local'), str(tmp_path / 'jobs'))
    (job,) = cluster.start([command(tmp_path, WAIT)])
    log = tmp_path / 'student.log'
    until(lambda: log.exists() and log.read_text().endswith('\n'))
    assert job.poll() is None
    pid = int(log.read_text().split()[1])
    job.kill()
    until(lambda: job.poll() is not None)

    def gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    until(gone)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The programs of Slurm, which does not run its jobs, and refuses to cancel
    them."""
    programs = tmp_path / 'bin'
    programs.mkdir()
    texts = dict(
        sbatch=SBATCH,
        srun='#!/bin/sh\n',
        sacct=SACCT,
        scancel='#!/bin/sh\necho "$@" >> "$NOTES/canceled"\nexit 1\n',
    )
    for name, text in texts.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv('PATH', str(programs), prepend=os.pathsep)
    monkeypatch.setenv('NOTES', str(tmp_path))
    SlurmJob.watcher.clear()


def test_the_other_runs_are_stopped_if_one_cannot_be(tmp_path, slurm, capsys):
    cluster = ClusterJobs(dict(cluster='slurm'), str(tmp_path / 'jobs'))
    jobs = [
        *cluster.start([command(tmp_path, WAIT, name) for name in 'ab']),
        *Processes().start([command(tmp_path, WAIT, 'c')]),
    ]
    with pytest.raises(KeyboardInterrupt), Scheduler([], [{}]) as scheduler:
        scheduler.running += [
            Process(Run(name, Config(), '0', 0, None, '', str(tmp_path)), job, 0, 0.0)
            for name, job in zip('abc', jobs)
        ]
        raise KeyboardInterrupt
    assert (tmp_path / 'canceled').read_text() == '12_0\n12_1\n'
    assert jobs[2].poll() == -signal.SIGKILL
    said = capsys.readouterr().out
    assert 'a, seed 0 may still be running' in said
    assert 'b, seed 0 may still be running' in said


def test_on_slurm_runs_that_start_together_are_an_array(tmp_path, slurm):
    settings = dict(cluster='slurm', gpus_per_node=1, slurm_partition='long')
    cluster = ClusterJobs(settings, str(tmp_path / 'jobs'))
    cluster.start([command(tmp_path, WAIT, name) for name in 'abc'])
    assert len((tmp_path / 'calls').read_text().splitlines()) == 1
    script = (tmp_path / 'script').read_text()
    for line in ('array=0-2%', 'gpus-per-node=1', 'partition=long', 'time=1440'):
        assert f'#SBATCH --{line}' in script


@pytest.mark.parametrize(
    'settings', [dict(cluster='local', gpu=1), dict(cluster='local', nodes=2)]
)
def test_settings_that_submitit_refuses(settings, tmp_path):
    with pytest.raises(ValueError, match='Invalid `executor`: expected settings of'):
        ClusterJobs(settings, str(tmp_path))


@pytest.mark.parametrize('settings', ['slurm', dict(gpus_per_node=1), dict(cluster='')])
def test_a_sweep_names_the_cluster(settings, tmp_path):
    path = write_spec(
        tmp_path / 'spec.py',
        seeds=[0],
        methods=dict(it=dict(config=write_teacher(tmp_path / 't.py'))),
        executor=settings,
    )
    with pytest.raises(ValueError, match='Invalid `executor`: expected a dict with'):
        load_spec(path)


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'submitit', None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mmdckd\[cluster\]'"):
        ClusterJobs(dict(cluster='local'), str(tmp_path))


def test_a_run_of_an_earlier_sweep_is_waited_for(tmp_path):
    """Its job outlives the sweep that was killed."""
    run = SimpleNamespace(
        name='kd',
        teacher=None,
        lock_file=str(tmp_path / 'seed0.lock'),
        result_file=str(tmp_path / 'result.json'),
    )
    scheduler = Scheduler([run], [{}])
    with FileLock(run.lock_file):
        assert scheduler.poll() == []
        assert scheduler.busy and not scheduler.running
        (tmp_path / 'result.json').write_text('{}')
    assert scheduler.poll() == [(run, True)]
    assert not scheduler.busy


@pytest.fixture
def killed_sweep(tmp_path, slurm):
    """The runs of a sweep that was killed when its jobs were in the queue."""
    runs = [Run(x, Config(), '0', 0, None, '', str(tmp_path / 'runs')) for x in 'ab']
    for run in runs:
        run.complete_config = lambda resume: Config()
    schedule(tmp_path, runs).poll()
    return runs


def schedule(tmp_path, runs):
    cluster = ClusterJobs(dict(cluster='slurm'), str(tmp_path / 'jobs'))
    return Scheduler(runs, [{}] * len(runs), launcher=cluster)


def set_states(tmp_path, **states):
    SlurmJob.watcher.clear()  # as in another process
    lines = [f'12_{number[1:]}|{state}|' for number, state in states.items()]
    (tmp_path / 'states').write_text('\n'.join(['JobID|State|NodeList', *lines]))


def num_submitted(tmp_path):
    return len((tmp_path / 'calls').read_text().splitlines())


def test_the_next_call_waits_for_queued_jobs(tmp_path, killed_sweep):
    set_states(tmp_path, _0='PENDING', _1='RUNNING')
    scheduler = schedule(tmp_path, killed_sweep)
    assert scheduler.poll() == []
    assert [process.run for process in scheduler.running] == killed_sweep
    for run in killed_sweep:
        with open(run.result_file, 'w') as file:
            file.write('{}')
    set_states(tmp_path, _0='COMPLETED', _1='COMPLETED')
    assert scheduler.poll() == [(run, True) for run in killed_sweep]
    assert not scheduler.busy
    assert num_submitted(tmp_path) == 1


def test_the_next_call_cancels_queued_jobs_when_it_is_stopped(tmp_path, killed_sweep):
    set_states(tmp_path, _0='PENDING', _1='PENDING')
    with pytest.raises(KeyboardInterrupt), schedule(tmp_path, killed_sweep):
        raise KeyboardInterrupt
    assert (tmp_path / 'canceled').read_text() == '12_0\n12_1\n'


@pytest.mark.parametrize('states', [dict(_0='FAILED', _1='TIMEOUT'), {}])
def test_the_next_call_repeats_jobs_that_are_not_queued(tmp_path, killed_sweep, states):
    set_states(tmp_path, **states)
    scheduler = schedule(tmp_path, killed_sweep)
    assert scheduler.poll() == []
    assert [process.run for process in scheduler.running] == killed_sweep
    assert num_submitted(tmp_path) == 2


def test_a_run_that_finishes_meanwhile_is_not_started_again(tmp_path, monkeypatch):
    """A job of an earlier sweep ends after its result was looked for."""
    run = Run('a', Config(), '0', 0, None, '', str(tmp_path))
    os.makedirs(run.folder)

    def finish(_):
        with open(run.result_file, 'w') as file:
            file.write('{}')
        return False

    monkeypatch.setattr(scheduler_module, '_is_locked', finish)
    scheduler = Scheduler([run], [{}])
    assert scheduler.poll() == []
    assert scheduler.poll() == [(run, True)]
    assert os.path.isfile(run.result_file)


@pytest.mark.slow
def test_a_sweep_through_a_cluster_has_a_line_for_each_run(tmp_path):
    path = write_spec(
        tmp_path / 'spec.py',
        seeds=[0],
        teachers=dict(it=dict(config=write_teacher(tmp_path / 't.py'))),
        methods=dict(
            kd=dict(config=write_cohort(tmp_path / 'c.py')),
            broken=dict(
                config=str(tmp_path / 'c.py'),
                cfg_options={'optim_wrapper.optimizer.lr': 'fast'},
            ),
        ),
        executor=dict(cluster='local'),
    )
    failed = run_sweep(path, work_dir=str(tmp_path / 'runs'))
    assert [run.name for run in failed] == ['broken']
    lines = (tmp_path / 'runs' / 'results.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    found = [(each['role'], each['name'], each['seed']) for each in records]
    assert found == [('teacher', 'it', 0), ('method', 'kd', 0)]
    # What is there is not run again.
    again = run_sweep(path, work_dir=str(tmp_path / 'runs'))
    assert [run.name for run in again] == ['broken']
