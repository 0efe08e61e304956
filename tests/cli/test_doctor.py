# Copyright (c) mmdckd contributors. All rights reserved.
import subprocess

import pytest

from helpers import warm
from mmdckd import compat
from mmdckd.cli import examination as doctor


def test_it_tells_versions_patches_and_devices():
    done = subprocess.run(
        [warm.python(), '-m', 'mmdckd', 'doctor'], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, number in doctor.versions().items():
        assert f'  {name:12} {number}' in done.stdout
    for name, why in compat.APPLIED.items():
        assert f'  {name}: {why}' in done.stdout
    assert 'cohort made one step' in done.stdout
    assert '\x1b' not in done.stdout


@pytest.mark.parametrize(
    'check, words', [('train_step', 'training a cohort'), ('find_config', '_base_')]
)
def test_a_fault_ends_with_one(monkeypatch, check, words):
    monkeypatch.setattr(doctor, check, lambda: f'{words}: it is broken')
    report = doctor.examine()
    assert not report.healthy
    assert f'  FAULT {words}: it is broken' in report.lines


def test_it_finds_that_no_step_can_be_made(monkeypatch):
    assert doctor.train_step() is None

    def broken(cfg):
        raise RuntimeError('nothing can be built')

    monkeypatch.setattr(doctor.MODELS, 'build', broken)
    assert 'RuntimeError: nothing can be built' in doctor.train_step()


def test_it_finds_that_configs_are_not_there(monkeypatch):
    assert doctor.find_config() is None
    from mmengine.config import utils

    monkeypatch.delitem(utils.MODULE2PACKAGE, 'mmdckd')
    monkeypatch.setattr(
        'mmengine.config.config._get_package_and_cfg_path',
        lambda path: ('mmdckd', 'none.py'),
    )
    assert "_base_ = 'mmdckd::...'" in doctor.find_config()


def test_it_names_the_extra_of_what_is_missing(monkeypatch):
    find = doctor.find_spec
    monkeypatch.setattr(
        doctor, 'find_spec', lambda name: None if name == 'onnxruntime' else find(name)
    )
    (note,) = [line for line in doctor.notes() if '.onnx' in line]
    assert 'onnxruntime missing' in note and "'mmdckd[onnx]'" in note


def test_it_finds_a_torchvision_for_another_torch(monkeypatch):
    monkeypatch.setattr(doctor, 'requires', lambda name: ['numpy', 'torch==1.13.1'])
    assert 'it needs torch==1.13.1' in doctor.torchvision_fault()
