# Copyright (c) mmdckd contributors. All rights reserved.
import runpy
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from helpers import warm
from helpers.paths import TOOLS

TOOL = TOOLS / 'export_student.py'


def call(*args):
    return subprocess.run(
        [warm.python(), str(TOOL), *map(str, args)], capture_output=True, text=True
    )


def call_here(monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_it_exports_the_best_student_and_says_where(trained, tmp_path):
    checkpoint = trained.checkpoint
    done = call(checkpoint, '--out', tmp_path)
    assert done.returncode == 0, done.stderr
    best = trained.best_student
    assert done.stdout.split() == [
        'student',
        best,
        'config',
        str(tmp_path / f'{best}.py'),
        'checkpoint',
        str(tmp_path / f'{best}.pth'),
        'safetensors',
        str(tmp_path / f'{best}.safetensors'),
    ]
    weights = torch.load(tmp_path / f'{best}.pth', weights_only=True)['state_dict']
    for key, value in trained.model.cohort.students[best].state_dict().items():
        assert torch.equal(weights[key], value)


def test_another_student_and_config(trained, tmp_path, monkeypatch):
    cfg = Config(trained.cfg.to_dict())
    cfg.test_dataloader.batch_size = 5
    cfg.dump(str(tmp_path / 'run.py'))
    call_here(
        monkeypatch,
        trained.checkpoint,
        '--student',
        'student1',
        '--out',
        tmp_path / 'out',
        '--config',
        tmp_path / 'run.py',
    )
    plain = Config.fromfile(tmp_path / 'out' / 'student1.py')
    assert plain.test_dataloader.batch_size == 5


def test_an_error_is_one_line_and_nothing_is_written(trained, tmp_path, monkeypatch):
    checkpoint = trained.checkpoint
    for words, args in (
        ("Did you mean 'student1'?", [checkpoint, '--student', 'studnet1']),
        ("expected an existing checkpoint, got 'missing.pth'", ['missing.pth']),
        ('missing.py', [checkpoint, '--config', 'missing.py']),
    ):
        with pytest.raises(SystemExit) as error:
            call_here(monkeypatch, *args, '--out', tmp_path)
        assert str(error.value).startswith('error: ')
        assert words in str(error.value)
    assert not list(tmp_path.iterdir())
