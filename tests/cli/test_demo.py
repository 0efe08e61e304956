# Copyright (c) mmdckd contributors. All rights reserved.
"""The demo as a person starts it, with short trainings."""

import io
import json
import os.path as osp
import re
import sys
from importlib import import_module

import pytest
import torch
from mmpretrain import get_model
from PIL import Image
from rich.console import Console

from helpers.commands import REPO, STUDENTS, TEACHER, TOOLS, call, run_tool
from mmdckd.datasets import Digits

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('demo') / 'run'


@pytest.fixture(scope='module')
def printed(folder):
    return run_tool('demo.py', '--fast', '--seed', 1, '--work-dir', folder)


def test_prints_the_accuracy_and_size_of_every_member(folder, printed):
    metrics = json.loads((folder / 'metrics.json').read_text())
    rows = re.findall(r'│ (.+?) +│ +([\d,]+) │ +([\d.]+) │', printed)
    table = {
        name: (int(count.replace(',', '')), float(top1)) for name, count, top1 in rows
    }
    (best,) = (folder / 'exported').glob('*.py')
    in_validation = f'best in validation: {best.stem}'
    assert list(table) == [
        'teacher',
        *STUDENTS,
        'ensemble of the 4 students',
        in_validation,
    ]
    assert table[in_validation] == table[best.stem]
    for name, member in [
        ('teacher', 'teacher'),
        *zip(STUDENTS, STUDENTS),
        ('ensemble of the 4 students', 'ensemble'),
    ]:
        assert table[name][1] == pytest.approx(
            metrics[f'{member}/accuracy/top1'], abs=0.005
        )

    sizes = [size for size, _ in table.values()]
    student = sum(p.numel() for p in get_model(str(best)).parameters())
    teacher = sum(p.numel() for p in get_model(osp.join(REPO, TEACHER)).parameters())
    assert sizes == [teacher, *4 * [student], 4 * student, student]


def test_tells_what_is_left_while_it_runs(printed):
    left = re.findall(r'^ *(\d+) %  (.+); about \d.* left$', printed, re.M)
    tenths = [int(tenth) for tenth, _ in left]
    assert tenths[0] == 0 and tenths[-1] >= 90 and tenths == sorted(tenths)
    assert any('epoch 2' in text for _, text in left)
    assert '\x1b' not in printed, 'colour where there is no terminal'


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    return import_module('demo')


def test_shows_a_bar_on_a_terminal(demo):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with demo.Watch(console) as watch:
        for part in (0.5, 1.0):
            watch.update('teacher', part, f': epoch {40 * part:.0f}')
    shown = screen.getvalue()
    assert '━' in shown
    assert re.search(r'epoch 40; about .* left', shown)


def test_classifies_images_of_the_test_split(folder, printed):
    images = sorted((folder / 'images').glob('*.png'))
    digits = Digits(split='test')
    labels = []
    for path in images:
        item = digits[int(path.stem[4:])]
        assert (item['img'] == Image.open(path).convert('RGB')).all()
        labels.append(item['gt_label'])
    said = [int(n) for n in re.findall(r'it is a (\d)', printed)]
    assert sorted(said) == sorted(labels) and len(labels) == 4
    assert len(re.findall(r'predicted \d', printed)) == 4


def test_writes_the_plot_and_the_best_student(folder, printed):
    assert f'Written to {folder}' in printed
    assert Image.open(folder / 'accuracy.png').size[0] > 1000
    (best,) = (folder / 'exported').glob('*.pth')
    weights = torch.load(best, weights_only=True)['state_dict']
    (checkpoint,) = (folder / 'cohort').glob('best_*.pth')
    cohort = torch.load(checkpoint, weights_only=False)['state_dict']
    own = f'architecture.students.{best.stem}.'
    assert len(weights) == sum(key.startswith(own) for key in cohort) > 0
    for key, value in weights.items():
        assert torch.equal(value, cohort[own + key])


def test_says_which_step_has_failed_and_why(tmp_path):
    process = call(
        sys.executable,
        osp.join('tools', 'demo.py'),
        '--seed',
        '-1',
        '--work-dir',
        str(tmp_path),
    )
    assert process.returncode == 1
    assert 'Seed must be between 0 and' in process.stderr
    assert 'tools/train.py configs/teachers/resnet34_digits.py' in (process.stderr)
    assert str(tmp_path / 'teacher.log') in process.stderr


@pytest.mark.parametrize(
    'name, fault', [('full', 'is not empty'), ('a b', 'cannot carry')]
)
def test_refuses_a_folder_it_cannot_use(
    demo, name, fault, tmp_path, monkeypatch, capsys
):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').write_text('')
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--work-dir', str(tmp_path / name)])
    with pytest.raises(SystemExit):
        demo.parse_args()
    assert fault in capsys.readouterr().err
