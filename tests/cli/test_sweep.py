# Copyright (c) mmdckd contributors. All rights reserved.
"""Sweeps from the command line, killed and started again."""

import json
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from helpers import warm
from helpers.paths import ROOT
from helpers.sweeps import write_cohort, write_spec, write_teacher
from mmdckd.sweep.plan import make_plan
from mmdckd.sweep.spec import load_spec

pytestmark = pytest.mark.slow

TOOL = str(ROOT / 'tools' / 'sweep.py')


def start(*args):
    return subprocess.Popen(
        [warm.python(), TOOL, *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the tool in this process; return what it says."""

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, args)])
        monkeypatch.syspath_prepend(str(ROOT / 'tools'))
        error = None
        try:
            runpy.run_path(TOOL, run_name='__main__')
        except SystemExit as stop:
            error = stop.code
        output = capsys.readouterr()
        return error, output.out + output.err

    return run


def wait_for(process, condition):
    while not condition():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
    """A teacher and the two students it teaches. It was killed while these
    were trained, and its file of results was left with half a line; then it
    was started again."""
    folder = tmp_path_factory.mktemp('sweep')
    teacher = dict(config=write_teacher(folder / 'tim.py'))
    spec = write_spec(
        folder / 'spec.py',
        seeds=[0],
        teachers=dict(tim=teacher),
        methods=dict(
            teacher=teacher,
            dckd=dict(
                config=write_cohort(folder / 'dckd.py', num_students=2),
                cfg_options={'train_cfg.max_epochs': 12},
            ),
        ),
    )
    work, out = folder / 'work', folder / 'out'
    args = [spec, '--work-dir', work, '--out', out, '--jobs', 1]

    process = start(*args)
    wait_for(process, lambda: list(work.glob('dckd-*/seed0/train/last_checkpoint')))
    process.send_signal(signal.SIGKILL)
    process.wait()
    results = out / 'results.jsonl'
    assert not list(work.glob('dckd-*/seed0/result.json'))
    before = results.read_bytes()
    results.write_bytes(before + before.splitlines()[0][:100])
    (finished,) = work.glob('*/seed0/result.json')
    stamp = finished.stat().st_mtime_ns
    process = start(*args, '--resume')
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return dict(
        args=args,
        work=work,
        out=out,
        before=before,
        finished=finished,
        stamp=stamp,
        output=output,
    )


def test_finished_runs_are_not_run_again(sweep):
    assert '[1/1] dckd, seed 0' in sweep['output']
    assert sweep['finished'].stat().st_mtime_ns == sweep['stamp']


def test_every_result_has_one_whole_line(sweep):
    results = sweep['out'] / 'results.jsonl'
    assert results.read_bytes().startswith(sweep['before'])
    records = read_lines(results)
    assert [(r['role'], r['name']) for r in records] == [
        ('teacher', 'tim'),
        ('method', 'teacher'),
        ('method', 'dckd'),
    ]
    assert [r['resumed'] for r in records] == [False, False, True]
    teacher, _, dckd = records
    assert dckd['last']['epoch'] == 12
    assert dckd['students'] == ['student0', 'student1']
    # It is the trained teacher that teaches.
    assert (
        dckd['last']['test']['teacher/accuracy/top1']
        == (teacher['last']['test']['accuracy/top1'])
    )


def test_the_report_is_there(sweep):
    page = (sweep['out'] / 'README.md').read_text()
    assert '| teacher | 1 | 1 |' in page and '| dckd | 2 | 1 |' in page
    assert '1 of the runs were interrupted and resumed' in page
    for name in ('accuracy.png', 'cost.png', 'results.csv'):
        assert (sweep['out'] / name).stat().st_size > 0


def test_a_finished_sweep_makes_its_report_again(sweep, run, tmp_path):
    error, output = run(*sweep['args'])
    assert error is None and 'Every run is finished.' in output

    # From the results alone, as they are committed.
    out = tmp_path / 'committed'
    out.mkdir()
    (out / 'results.jsonl').write_bytes((sweep['out'] / 'results.jsonl').read_bytes())
    work = tmp_path / 'nothing'
    error, output = run(
        sweep['args'][0], '--work-dir', work, '--out', out, '--report-only'
    )
    assert error is None
    page = (sweep['out'] / 'README.md').read_text()
    assert (out / 'README.md').read_text() == page.replace(str(sweep['out']), str(out))
    assert not work.exists()


def test_a_page_is_made_of_committed_results(sweep, run, tmp_path):
    folder = tmp_path / 'results' / 'tiny'
    folder.mkdir(parents=True)
    (folder / 'results.jsonl').write_bytes(
        (sweep['out'] / 'results.jsonl').read_bytes()
    )
    other = write_spec(
        tmp_path / 'other.py',
        seeds=[0],
        methods=dict(kd=dict(config=write_teacher(tmp_path / 'c.py'))),
    )
    Path(other).write_text(Path(other).read_text().replace("'tiny'", "'other'"))
    page = tmp_path / 'pages' / 'page.md'
    page.parent.mkdir()
    results = tmp_path / 'results'
    error, _ = run(sweep['args'][0], other, '--page', page, '--out', results)
    assert error is None
    text = page.read_text()
    assert '| dckd | 2 | 1 |' in text
    assert f'Not run yet: `python tools/sweep.py {other} --only kd`' in (text)
    for name in re.findall(r'!\[.*\]\((.*)\)', text):
        assert (page.parent / name).stat().st_size > 0
    assert (folder / 'README.md').exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'c.py',
        'other.py',
        'pages',
        'results',
    ]


def test_two_do_not_work_in_one_folder(sweep, run):
    with FileLock(str(sweep['work'] / '.lock')):
        error, _ = run(*sweep['args'])
    assert 'error: Invalid `work_dir`: expected a folder without' in error


def test_a_failing_teacher_takes_only_its_students_along(run, tmp_path):
    spec = write_spec(
        tmp_path / 'spec.py',
        seeds=[0],
        teachers=dict(
            tim=dict(
                config=write_teacher(tmp_path / 'tim.py'),
                cfg_options={'model.backbone.depth': 19},
            )
        ),
        methods=dict(
            kd=dict(config=write_cohort(tmp_path / 'kd.py')),
            plain=dict(config=write_cohort(tmp_path / 'plain.py', teacher=False)),
        ),
    )
    work = tmp_path / 'work'
    plain = make_plan(load_spec(spec), str(work))[-1].run
    left = Path(plain.folder) / 'left.txt'
    left.parent.mkdir(parents=True)
    left.write_text('by a run that was interrupted')
    error, output = run(spec, '--work-dir', work, '--jobs', 2)
    assert 'tim, seed 0: failed: KeyError' in output
    assert 'kd, seed 0: failed: its teacher failed' in output
    (log,) = work.glob('tim-*/seed0/log.txt')
    assert f'  tim, seed 0: {log}' in error and 'plain' not in error
    assert 'invalid depth 19' in log.read_text()
    (record,) = read_lines(work / 'results.jsonl')
    assert record['name'] == 'plain' and record['threads'] >= 1
    # It has started anew.
    assert not left.exists() and record['resumed'] is False


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['no.yaml'], "error: Invalid sweep: expected an existing file, got 'no.yaml'"),
        (['SPEC', '--only', 'dlm'], 'error: Invalid `--only`: expected methods among'),
        (['SPEC', '--jobs', '0'], 'error: argument --jobs: expected 1 or more, got 0'),
        (
            ['SPEC', '--report-only'],
            'error: Invalid `out`: expected a folder with results',
        ),
        (['SPEC', 'SPEC'], 'error: several sweeps need --page'),
        (
            ['no.yaml', '--page', 'p.md'],
            "Invalid sweep: expected an existing file, got 'no.yaml'",
        ),
    ],
)
def test_bad_input_is_one_line(run, tmp_path, arguments, message):
    spec = write_spec(
        tmp_path / 'spec.py',
        seeds=[0],
        methods=dict(dml=dict(config=write_teacher(tmp_path / 'c.py'))),
    )
    arguments = [spec if a == 'SPEC' else a for a in arguments]
    error, output = run(*arguments, '--work-dir', tmp_path / 'work')
    assert message in f'{error}{output}'
    assert not (tmp_path / 'work').exists()
