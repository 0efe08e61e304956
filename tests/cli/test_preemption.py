# Copyright (c) mmdckd contributors. All rights reserved.
"""What a cluster does with the tools: it tells them to end."""

import os
import os.path as osp
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from helpers.commands import call, free_port, run_tool, scalars, start
from mmdckd.cli import train

DML = osp.join('configs', 'dml', 'dml_r18_digits.py')
PLAIN = osp.join('configs', 'plain', 'plain_r18_digits.py')


def wait_for_logs(process, work_dir):
    """Wait until the first iterations are logged."""
    while not any(
        path.stat().st_size for path in work_dir.glob('*/vis_data/scalars.json')
    ):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize('seconds', [0, 1.5])
def test_before_the_training_begins_it_says_resume_me_too(tmp_path, number, seconds):
    process = start(
        sys.executable,
        osp.join('tools', 'train.py'),
        PLAIN,
        '--work-dir',
        str(tmp_path),
    )
    caught = 1 << (signal.SIGUSR1 - 1)
    status = Path(f'/proc/{process.pid}/status')
    while not int(status.read_text().split('SigCgt:')[1].split()[0], 16) & caught:
        assert process.poll() is None
    time.sleep(seconds)  # amidst what is imported
    process.send_signal(number)
    printed, _ = process.communicate()
    assert process.returncode == 75, printed
    assert f'Interrupted by {number.name}' in printed
    assert 'Traceback' not in printed


def test_it_is_heeded_before_the_arguments_are_parsed(monkeypatch):
    """Those of `--cfg-options` import the toolbox, which takes seconds."""

    def told():
        raise SystemExit(75)

    monkeypatch.setattr(train, 'exit_when_told', told)
    monkeypatch.setattr('mmengine.config.DictAction', None)
    with pytest.raises(SystemExit, match='^75$'):
        train.main([PLAIN, '--cfg-options', 'a=1'])


WAIT = """
import socket, sys
from mmdckd.cli.preemption import exit_when_told
exit_when_told()
import ctypes, multiprocessing, os, signal
for number in (signal.SIGTERM, signal.SIGUSR1):
    # A worker that is told to end does not end this process.
    worker = multiprocessing.get_context('fork').Process(target=signal.pause)
    worker.start()
    os.kill(worker.pid, number)
    worker.join()
    assert worker.exitcode == -number
print('waiting', flush=True)
# In C, where Python calls no handler, for longer than the test waits.
libc = ctypes.CDLL(None)
while True:
    libc.sleep(600)
"""


def test_it_is_heeded_where_the_process_waits_in_c():
    process = start(sys.executable, '-c', WAIT.replace('while True:', 'if 1:'))
    assert process.stdout.readline() == 'waiting\n'
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate()
    assert process.returncode == 75
    assert 'Interrupted by SIGTERM' in printed


@pytest.mark.slow
def test_train_py_says_resume_me(tmp_path):
    options = (
        '--cfg-options',
        'train_cfg.max_epochs=2',
        'default_hooks.logger.interval=1',
    )
    whole, stopped = tmp_path / 'whole', tmp_path / 'stopped'
    process = start(
        sys.executable,
        osp.join('tools', 'train.py'),
        PLAIN,
        '--work-dir',
        str(stopped),
        *options,
    )
    wait_for_logs(process, stopped)
    process.send_signal(signal.SIGUSR1)
    printed, _ = process.communicate()
    assert process.returncode == 75, printed
    assert 'Interrupted by SIGUSR1 after iteration' in printed
    checkpoint = torch.load(stopped / 'interrupted.pth', weights_only=True)
    assert 0 < checkpoint['meta']['iter'] < 34

    run_tool('train.py', PLAIN, '--work-dir', stopped, '--resume', *options)
    run_tool('train.py', PLAIN, '--work-dir', whole, *options)
    one, other = (
        torch.load(folder / 'epoch_2.pth', weights_only=True)['state_dict']
        for folder in (whole, stopped)
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


def children(pid):
    path = Path(f'/proc/{pid}/task/{pid}/children')
    return [int(child) for child in path.read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize('parallel', ['data', 'cohort'])
def test_processes_end_together_when_one_is_told(parallel, tmp_path):
    process = start(
        osp.join('tools', 'dist_train.sh'),
        DML,
        '2',
        '--work-dir',
        str(tmp_path),
        '--cfg-options',
        'default_hooks.logger.interval=1',
        f'model.parallel={parallel}',
        PORT=free_port(),
    )
    wait_for_logs(process, tmp_path)
    ranks = [
        child
        for child in children(process.pid)
        if 'train.py' in Path(f'/proc/{child}/cmdline').read_text()
    ]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGUSR1)
    printed, _ = process.communicate()
    assert 'Interrupted by SIGUSR1 after iteration' in printed
    assert 'exitcode  : 75' in printed
    checkpoint = torch.load(tmp_path / 'interrupted.pth', weights_only=True)
    ended = checkpoint['meta']['iter']
    # The processes ask each other every ten iterations, and after validation,
    # which comes every nine.
    assert ended % 10 == 0 or ended % 9 == 0
    assert scalars(tmp_path)[0][0][-1]['step'] == ended


@pytest.mark.slow
def test_a_batch_job_is_requeued(tmp_path):
    for name, script in (
        ('srun', 'exit $CODE'),
        ('scontrol', f'echo "$@" >> "{tmp_path}/called"'),
    ):
        path = tmp_path / name
        path.write_text(f'#!/usr/bin/env bash\n{script}\n')
        path.chmod(0o755)
    environment = dict(PATH=os.pathsep.join([str(tmp_path), os.environ['PATH']]))
    command = (
        osp.join('tools', 'slurm_train.sh'),
        'partition',
        'job',
        PLAIN,
        str(tmp_path / 'run'),
    )
    for code, job in (('1', '7'), ('75', ''), ('0', '7')):
        process = call(*command, CODE=code, SLURM_JOB_ID=job, **environment)
        assert process.returncode == int(code)
    assert not (tmp_path / 'called').exists()
    process = call(*command, CODE='75', SLURM_JOB_ID='7', **environment)
    assert process.returncode == 75
    assert (tmp_path / 'called').read_text() == 'requeue 7\n'
