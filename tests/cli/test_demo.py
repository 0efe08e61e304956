# Copyright (c) mmdckd contributors. All rights reserved.
"""The demo as a person starts it, with short trainings."""

import json
import re
import sys
from importlib import import_module

import numpy as np
import pytest
from PIL import Image

from helpers.commands import TOOLS, run_tool
from mmdckd.datasets import Digits

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('demo') / 'run'


@pytest.fixture(scope='module')
def printed(folder):
    return run_tool('demo.py', '--epochs', 1, '--seed', 1, '--work-dir', folder)


def measured(folder):
    (path,) = folder.glob('test/*/*.json')
    return json.loads(path.read_text())


def test_writes_the_digits_as_they_are(folder, printed):
    for split in ('train', 'val', 'test'):
        digits = Digits(split=split)
        paths = list((folder / 'digits' / split).rglob('*.png'))
        assert len(paths) == len(digits)
        for path in paths[::50]:
            item = digits[int(path.stem)]
            assert (np.array(Image.open(path).convert('RGB')) == item['img']).all()
            assert path.parent.name == str(item['gt_label'])


def test_shows_all_that_was_tested_side_by_side(folder, printed):
    rows = dict(re.findall(r'│ (.+?) +│ +([\d.]+) │', printed))
    collective = measured(folder / 'collective')
    kd, plain = (measured(folder / name) for name in ('kd', 'plain'))
    students = [collective[f'student{i}/accuracy/top1'] for i in range(4)]
    assert list(rows.values()) == [
        f'{top1:.2f}'
        for top1 in (
            collective['teacher/accuracy/top1'],
            plain['best/accuracy/top1'],
            kd['best/accuracy/top1'],
            sum(students) / 4,
            collective['best/accuracy/top1'],
            collective['ensemble/accuracy/top1'],
        )
    ]


def test_the_three_differ_by_what_is_learned_from(folder, printed):
    alphas = [
        (folder / name / 'students.py').read_text().count("'alpha': 0.0")
        for name in ('collective', 'kd', 'plain')
    ]
    assert alphas == [0, 0, 1]
    assert printed.count('mmdckd train --data ') == 3


def test_writes_the_report_and_the_best_student(folder, printed):
    text = (folder / 'report.html').read_text()
    assert all(name in text for name in ('collective', 'kd', 'plain'))
    assert len(list((folder / 'collective' / 'exported').glob('student*.pth'))) == 1


def test_refuses_a_folder_that_is_not_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(TOOLS)
    (tmp_path / 'file').write_text('')
    monkeypatch.setattr(sys, 'argv', ['demo.py', '--work-dir', str(tmp_path)])
    with pytest.raises(SystemExit):
        import_module('demo').parse_args()
    assert 'is not empty' in capsys.readouterr().err
