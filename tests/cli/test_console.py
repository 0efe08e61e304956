# Copyright (c) mmdckd contributors. All rights reserved.
"""What a person reads of a run, on a terminal and in a pipe."""

import os
import os.path as osp
import pty
import re
import subprocess
import sys

import pytest

from helpers import warm
from helpers.commands import REPO, call_tool, free_port, run, scalars, warm_path

DML = osp.join('configs', 'dml', 'dml_r18_digits.py')
#: Two epochs of eight steps.
OPTIONS = (
    '--cfg-options',
    'train_cfg.max_epochs=2',
    'train_dataloader.batch_size=16',
    'train_dataloader.dataset.indices=128',
    'val_dataloader.dataset.indices=50',
    'model.num_students=2',
)
#: What other packages do while a run is built and while it trains.
NOISY = """
import logging
import warnings

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS

warnings.warn('a warning of Python at import')
logging.getLogger('other').warning('a record of another logger')
print_log('a record of MMEngine', 'current', logging.WARNING)


@HOOKS.register_module()
class NoisyHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        warnings.warn('a warning of Python in training')
        runner.logger.info('information of a hook')
        runner.logger.warning('a warning of a hook')

    def after_train(self, runner):
        runner.logger.error('an error of a hook')
        print('printed by a hook')
"""
NOISE = (
    'a warning of Python at import',
    'a record of another logger',
    'a record of MMEngine',
    'a warning of Python in training',
    'information of a hook',
    'a warning of a hook',
)


@pytest.fixture(scope='module')
def noisy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('noisy')
    (folder / 'noisy_package.py').write_text(NOISY)
    (folder / 'noisy.py').write_text(
        f'_base_ = {osp.join(REPO, DML)!r}\n'
        "custom_imports = dict(imports='noisy_package')\n"
        "default_hooks = dict(noisy=dict(type='NoisyHook'))\n"
    )
    return folder


def train(folder, noisy, *arguments):
    """The arguments of a noisy run."""
    config = noisy / 'noisy.py'
    return (config, '--work-dir', folder, *arguments, *OPTIONS), str(noisy)


@pytest.fixture(scope='module')
def piped(tmp_path_factory, noisy):
    """A run's folder, and what it says in a pipe."""
    folder = tmp_path_factory.mktemp('piped')
    arguments, path = train(folder, noisy)
    done = call_tool('train.py', *arguments, PYTHONPATH=python_path(path))
    assert done.returncode == 0, done.stderr
    return folder, done


def python_path(folder):
    return os.pathsep.join(filter(None, [folder, os.environ.get('PYTHONPATH')]))


def log_of(folder):
    (path,) = folder.glob('*/*.log')
    return path.read_text()


def progress(lines):
    return [line for line in lines if re.search(r'step \d+/16  loss', line)]


def test_a_pipe_has_the_table_then_progress_then_what_came_out(piped):
    folder, done = piped
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f'Training in {folder}; log: {folder}')
    assert lines[1].startswith('The cohort, for images of')
    first = lines.index(progress(lines)[0])
    assert lines[first - 1].startswith('all ')  # the end of the table
    assert lines[first].startswith('epoch 1/2  step 1/16  loss ')
    assert first < 20
    assert len(progress(lines)) == 16
    validations = [line for line in lines if 'accuracy/top1' in line]
    assert len(validations) == 2
    for line in validations:
        assert re.fullmatch(
            r'epoch \d/2  accuracy/top1: student0 [\d.]+( \(best\))?, '
            r'student1 [\d.]+( \(best\))?, ensemble [\d.]+',
            line,
        )
        assert line.count('(best)') == 1
    assert re.fullmatch(
        r'Trained in \d+ s\. Best in validation: student\d \([\d.]+\)\. '
        rf'Its weights: {folder}/best\.pth',
        lines[-1],
    )
    rest = lines[first:]
    assert len(rest) == 16 + 2 + 1 + 2  # and what is said of errors, and printed
    assert not done.stderr


def test_the_best_student_and_the_time_left_are_in_each_line_that_knows_them(piped):
    lines = progress(piped[1].stdout.splitlines())
    assert all(re.search(r'  \d+ s left$', line) for line in lines[1:-1])
    assert not any('  best ' in line for line in lines[:8])
    assert all(re.search(r'  best student\d \([\d.]+\)', line) for line in lines[8:])


def test_other_packages_speak_in_the_log_file(piped):
    folder, done = piped
    log = log_of(folder)
    for each in NOISE:
        assert each not in done.stdout + done.stderr
        assert each in log
    assert 'error: an error of a hook\n' in done.stdout
    assert 'printed by a hook\n' in done.stdout


def test_nothing_in_a_pipe_controls_a_terminal(piped):
    assert re.fullmatch(r'[\n\x20-\x7e]+', piped[1].stdout)


def test_verbose_has_everything_and_the_files_are_the_same(piped, tmp_path, noisy):
    folder, calm = piped
    arguments, path = train(tmp_path, noisy, '--verbose')
    done = call_tool('train.py', *arguments, PYTHONPATH=python_path(path))
    assert done.returncode == 0, done.stderr
    for each in (*NOISE, 'System environment:', 'Hooks will be executed', 'Config:'):
        assert each in done.stdout + done.stderr
    assert 'step 1/16' not in done.stdout
    assert len(done.stdout.splitlines()) > 10 * len(calm.stdout.splitlines())

    def told(where):
        text = log_of(where).replace(str(where), 'folder')
        return {re.sub(r'\d[\d.:e+-]*', '0', line) for line in text.splitlines()}

    assert told(tmp_path) <= told(folder)

    def without_times(where):
        ((iterations, validations),) = scalars(where)
        for record in (*iterations, *validations):
            for key in ('time', 'data_time'):
                record.pop(key, None)
        return iterations, validations

    assert without_times(folder) == without_times(tmp_path)


def on_terminal(command, **environment):
    """What a command writes to a terminal, and how it ends."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=REPO,
        env={
            **os.environ,
            'CUDA_VISIBLE_DEVICES': '',
            'TERM': 'xterm',
            'COLUMNS': '120',
            **environment,
        },
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b''
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # the last who could write is gone
            break
    os.close(ours)
    return process.wait(), written.decode()


def test_a_terminal_has_the_lines_and_a_bar(tmp_path, noisy):
    arguments, path = train(tmp_path, noisy)
    status, written = on_terminal(
        [warm.python(), osp.join('tools', 'train.py'), *arguments],
        PYTHONPATH=python_path(path),
    )
    assert status == 0, written
    assert '━' in written
    assert re.search(r'epoch 1/2 .*━.* \d+/16', written)
    # The cursor is hidden while there is a bar, and shown at the end.
    assert written.rindex('\x1b[?25h') > written.rindex('\x1b[?25l')
    plain = re.sub(r'\x1b\[[\d;?]*[A-Za-z]', '', written).replace('\r', '\n')
    lines = [line for line in plain.split('\n') if '━' not in line]
    assert len(progress(lines)) == 16
    assert lines[0].startswith(f'Training in {tmp_path}')
    assert 'printed by a hook' in lines
    for each in NOISE:
        assert each not in written


def test_the_test_has_a_line_with_each_member(piped):
    folder, _ = piped
    done = call_tool(
        'test.py', DML, folder / 'best.pth', '--work-dir', folder / 'test', *OPTIONS
    )
    assert done.returncode == 0 and not done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith('Testing; log: ')
    assert re.fullmatch(
        r'test  accuracy/top1: student0 [\d.]+( \(best\))?, '
        r'student1 [\d.]+( \(best\))?, ensemble [\d.]+',
        last,
    )
    assert 'Loads checkpoint' in log_of(folder / 'test')


def test_a_resumed_run_says_where_it_goes_on(piped, tmp_path):
    folder, _ = piped
    done = call_tool(
        'train.py',
        DML,
        '--work-dir',
        tmp_path,
        '--resume',
        folder / 'epoch_1.pth',
        *OPTIONS,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert 'Resumed after step 8/16.' in lines
    first = progress(lines)[0]
    assert 'epoch 2/2  step 9/16' in first and '  best student' in first


def test_whoever_stops_to_read_stops_no_run(tmp_path):
    command = [warm.python(), 'tools/train.py', DML, '--work-dir', tmp_path, *OPTIONS]
    process = subprocess.Popen(
        command,
        cwd=REPO,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.stdout.close()
    process.wait()
    assert (tmp_path / 'epoch_2.pth').exists()


@pytest.mark.slow
def test_of_two_processes_one_speaks(tmp_path):
    printed = run(
        osp.join('tools', 'dist_train.sh'),
        DML,
        '2',
        '--work-dir',
        str(tmp_path),
        *OPTIONS,
        PATH=warm_path(),
        PORT=free_port(),
    )
    lines = printed.splitlines()
    assert sum(line.startswith('Training in ') for line in lines) == 1
    steps = [line for line in lines if re.search(r'step \d+/8', line)]
    assert len(steps) == len(set(steps)) == 8
    assert sum('accuracy/top1' in line for line in lines) == 2


@pytest.mark.slow
@pytest.mark.parametrize('command', ['show', 'export', 'predict', 'report'])
def test_a_process_of_its_own_says_nothing_of_others(piped, tmp_path, command):
    folder, _ = piped
    arguments = dict(
        show=[DML],
        export=[folder / 'best.pth', '--out', tmp_path],
        report=[folder],
        predict=[],
    )
    if command == 'predict':
        exported = tmp_path / 'student'
        call_tool(
            'export_student.py',
            folder / 'best.pth',
            '--student',
            'student0',
            '--out',
            exported,
        )
        image = tmp_path / 'image.png'
        from PIL import Image

        Image.new('RGB', (8, 8)).save(image)
        arguments['predict'] = [exported / 'student0.pth', image]
    done = subprocess.run(
        [sys.executable, '-m', 'mmdckd', command, *map(str, arguments[command])],
        cwd=REPO,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ''
    assert 'mmengine' not in done.stdout and 'Warning' not in done.stdout
