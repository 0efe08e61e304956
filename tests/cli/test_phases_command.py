# Copyright (c) mmdckd contributors. All rights reserved.
"""A run of two phases, as a user has it."""

import json
import re

import pytest
import torch
from mmengine.config import Config

from helpers.commands import call_tool, run_tool, scalars
from mmdckd.cli.config_keys import check_phases

CONFIG = 'configs/finished/finished_r18_digits.py'
OPTIONS = [
    '--cfg-options',
    'model.teacher_ckpt=None',
    'model.allow_random_teacher=True',
    'train_dataloader.dataset.indices=128',
    'train_cfg.max_epochs=1',
    'phases.1.times=2',
    'phases.0.model.num_students=2',
]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('phases')
    run_tool('train.py', CONFIG, '--work-dir', folder, *OPTIONS)
    return folder


def epochs(folder):
    return [record['step'] for _, validated in scalars(folder) for record in validated]


def test_the_last_phase_is_the_run(folder):
    assert epochs(folder) == [1, 2]
    assert epochs(folder / 'phase0') == [1]
    assert (folder / 'best.pth').is_file()


@pytest.mark.slow
def test_it_is_resumed_tested_exported_and_reported_as_one(folder, tmp_path):
    run_tool(
        'train.py',
        CONFIG,
        '--work-dir',
        folder,
        '--resume',
        *OPTIONS,
        'phases.1.times=3',
    )
    assert epochs(folder / 'phase0') == [1]
    assert epochs(folder)[-1] == 3
    out = tmp_path / 'metrics.json'
    run_tool(
        *('test.py', CONFIG, folder / 'epoch_3.pth', '--work-dir', folder),
        *('--out', out, '--out-item', 'metrics', *OPTIONS),
    )
    assert 'student0/accuracy/top1' in json.loads(out.read_text())
    run_tool('export_student.py', folder / 'best.pth', '--out', tmp_path / 'exported')
    assert (tmp_path / 'exported' / 'student0.pth').is_file()
    run_tool('report.py', folder, '--out', tmp_path / 'report')


def test_both_phases_are_printed():
    printed = run_tool('print_config.py', CONFIG, *OPTIONS)
    first, last = printed.split('phase1')
    assert 'finished peer' not in first
    assert 'loss_dckd.collective: finished peer 0, finished peer 1' in last


@pytest.mark.parametrize(
    'option, message',
    [
        ('phases.1.optim_wraper.x=1', "Did you mean 'optim_wrapper'"),
        ('phases.1.model.finished_peers=phase1', "expected 'phase0', got 'phase1'"),
        ('phases.1.optim_wrapper.optimizer.type=SDG', 'error: `optim_wrapper`'),
    ],
)
def test_a_fault_in_a_phase_is_told(tmp_path, option, message):
    process = call_tool('train.py', CONFIG, '--work-dir', tmp_path, *OPTIONS, option)
    assert process.returncode == 1
    assert message in process.stderr
    assert not (tmp_path / 'phase0' / 'epoch_1.pth').exists()


@pytest.mark.parametrize('key', ['load_from', 'work_dir', 'experiment_name'])
def test_a_phase_has_no_setting_that_the_run_replaces(key):
    check_phases(Config(dict(phases=[{key: None}, {key: 'mine'}])))
    with pytest.raises(SystemExit, match=rf"`phases\[0\].{key}`: .* got 'mine'"):
        check_phases(Config(dict(phases=[{key: 'mine'}, {}])))


@pytest.mark.slow
def test_a_student_learns_from_teachers_that_are_blind_to_its_images(tmp_path):
    run_tool(
        'train.py',
        'configs/held_out/cross_fit_r18_digits.py',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'train_dataloader.dataset.indices=128',
        'train_cfg.max_epochs=1',
    )
    # ResNet-34 has six blocks in its third stage, ResNet-18 two.
    assert blocks(tmp_path / 'phase0') == [6, 6, 6, 6]
    assert blocks(tmp_path) == [2]
    assert 'loss_dckd.collective: finished peer 0' in run_tool(
        'print_config.py', tmp_path / 'cross_fit_r18_digits.py'
    )


def blocks(folder):
    """Return the number of blocks in the third stage of each student."""
    path = folder / 'epoch_1.pth'
    weights = torch.load(path, map_location='cpu', weights_only=False)['state_dict']
    found = [
        re.fullmatch(r'.*\.(student\d)\..*\.layer3\.(\d)\.conv1.weight', name)
        for name in weights
    ]
    names = [match.group(1) for match in found if match]
    return [names.count(name) for name in sorted(set(names))]
