# Copyright (c) mmdckd contributors. All rights reserved.
"""A sweep whose runs end at once, each with the metrics that a test gives."""

import json
import os
import re
import tempfile
from types import SimpleNamespace

import pytest

from helpers.sweeps import record, write_spec, write_teacher
from mmdckd.sweep import running, scheduler
from mmdckd.sweep.results import Results

TOP1 = {'accuracy/top1': 9.0}
#: What the sweep itself adds to a result.
ADDED = ('benchmark', 'role', 'pair', 'name', 'seed', 'fingerprint')


class Ended:
    """A process that has ended, or was killed."""

    def __init__(self, status=0):
        self.status = status

    def poll(self):
        return self.status


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Run a sweep of the methods whose metrics a test gives; the process of a method
    without metrics is killed."""
    config = write_teacher(tmp_path / 'config.py')

    def sweep(methods, error=None, **kwargs):
        started = []

        def start(_, commands):
            jobs = []
            for command in commands:
                file = command.arguments[4]
                name = re.search(r'([^/]+)-\w{8}/seed', file)[1]
                started.append(name)
                if methods[name] is None:
                    jobs.append(Ended(-9))
                    continue
                best = {key: value + 1 for key, value in methods[name].items()}
                best = dict(epoch=1, val={}, test=best)
                result = record(name, 0, methods[name], best=best)
                with open(file, 'w') as stream:
                    json.dump({k: result[k] for k in result if k not in ADDED}, stream)
                jobs.append(Ended())
            return jobs

        if error is not None:
            start = fail_once(error, start)
        monkeypatch.setattr(scheduler.Processes, 'start', start)
        monkeypatch.setattr(running, 'write_report', lambda *_: None)
        # There is nothing to wait for.
        clock = SimpleNamespace(sleep=lambda seconds: None)
        monkeypatch.setattr(running, 'time', clock)
        spec = write_spec(
            tmp_path / 'spec.py',
            seeds=[0],
            methods={
                name: dict(config=config, cfg_options={'train_cfg.max_epochs': epochs})
                for epochs, name in enumerate(methods, start=1)
            },
        )
        kwargs.setdefault('work_dir', str(tmp_path / 'runs'))
        failed = running.run_sweep(spec, **kwargs)
        return started, [run.name for run in failed]

    return sweep


def test_a_run_without_the_metric_does_not_stop_the_others(sweep, tmp_path, capsys):
    methods = dict(a={'f1': 9.0}, b=TOP1)
    assert sweep(methods, jobs=1) == (['a', 'b'], ['a'])
    assert "a, seed 0: failed: Invalid `metric`: expected one of ['f1']" in (
        capsys.readouterr().out
    )
    results = Results(str(tmp_path / 'runs' / 'results.jsonl'))
    assert [line['name'] for line in results.records] == ['b']
    # It is not trained again for a result that would be the same.
    assert sweep(methods) == ([], ['a'])
    assert sweep(methods, only=['b']) == ([], [])


def test_a_run_that_has_ended_shows_its_last_epoch(sweep, capsys):
    assert sweep(dict(a=TOP1)) == (['a'], [])
    assert '[1/1] a, seed 0: 9.00 in 10 s' in capsys.readouterr().out


def test_a_method_of_one_pair_can_be_run_alone():
    entries = [
        SimpleNamespace(role=role, pair=pair, name=name)
        for role, pair, name in (
            ('teacher', '', 'kd'),
            ('method', 'a', 'kd'),
            ('method', 'b', 'kd'),
            ('method', 'b', 'dml'),
        )
    ]
    assert running.choose(entries, ['b/kd']) == entries[2:3]
    assert running.choose(entries, ['dml', 'kd']) == [entries[3], *entries[1:3]]
    assert running.choose(entries, None) == entries[1:]
    with pytest.raises(ValueError, match=r"`--only`: .*\['kd', 'dml'\], got 'a/dml'"):
        running.choose(entries, ['a/dml'])


def test_a_disk_that_is_full_for_a_while_does_not_stop_the_others(
    sweep, monkeypatch, tmp_path, capsys
):
    append, full = os.fsync, [True]

    def fsync(file):
        if full and os.readlink(f'/proc/self/fd/{file}').endswith('results.jsonl'):
            full.pop()
            raise OSError(28, 'No space left on device')
        append(file)

    monkeypatch.setattr(os, 'fsync', fsync)
    assert sweep(dict(a=TOP1, b=TOP1), jobs=1) == (['a', 'b'], ['a'])
    assert 'failed: [Errno 28] No space left on device' in capsys.readouterr().out
    lines = Results(str(tmp_path / 'runs' / 'results.jsonl')).records
    assert sorted(line['name'] for line in lines) == ['a', 'b']


@pytest.mark.parametrize('key', ['out', 'work_dir'])
def test_a_folder_that_cannot_be_written_to_is_refused_first(
    sweep, monkeypatch, tmp_path, key
):
    read_only = tmp_path / 'read_only'
    read_only.mkdir()
    create = tempfile.TemporaryFile

    def refuse(dir):
        if os.fspath(dir) == str(read_only):
            raise OSError(30, 'Read-only file system')
        return create(dir=dir)

    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    with pytest.raises(ValueError, match=f'Invalid `{key}`: expected a folder to wri'):
        sweep(dict(a=TOP1), **{key: str(read_only)})
    assert not (tmp_path / 'runs').exists()


def fail_once(error, then):
    """Raise an error, and work from the second call on."""
    errors = [error]

    def call(*arguments):
        if errors:
            raise errors.pop()
        return then(*arguments)

    return call


@pytest.mark.parametrize(
    'message', ['No space left on device', 'Read-only file system']
)
def test_a_run_whose_folder_cannot_be_made_does_not_stop_the_others(
    sweep, monkeypatch, capsys, message
):
    write = fail_once(OSError(message), scheduler.write_config)
    monkeypatch.setattr(scheduler, 'write_config', write)
    assert sweep(dict(a=TOP1, b=TOP1), jobs=1) == (['b'], ['a'])
    assert f'a, seed 0: failed: {message}' in capsys.readouterr().out


@pytest.mark.parametrize(
    'error',
    [OSError('Cannot allocate memory'), RuntimeError('sbatch: Invalid partition')],
)
def test_a_process_that_does_not_start_does_not_stop_the_others(sweep, capsys, error):
    methods = dict(a=TOP1, b=TOP1)
    assert sweep(methods, error=error, jobs=1) == (['b'], ['a'])
    assert f'a, seed 0: failed: {error}' in capsys.readouterr().out


def test_a_killed_process_is_said_to_be_killed(sweep, capsys):
    assert sweep(dict(a=None), jobs=1) == (['a'], ['a'])
    assert 'failed: killed by SIGKILL, as when memory runs out' in (
        capsys.readouterr().out
    )
