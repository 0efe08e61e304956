# Copyright (c) mmdckd contributors. All rights reserved.
"""What the README says can be done."""

import re

import torch
from mmengine.config import Config

import mmdckd  # noqa: F401
from helpers.networks import build, digits
from helpers.paths import ROOT

README = (ROOT / 'README.md').read_text()
CONFIGS = [
    block
    for block in re.findall(r'```python\n(.*?)```', README, re.S)
    if '_base_' in block
]


def read(block, path):
    """Read a config of the README as if it were in configs/."""
    path.write_text(block.replace("'./", f"'{(ROOT / 'configs').as_posix()}/"))
    return Config.fromfile(path)


def test_it_is_short():
    assert len(README.splitlines()) <= 200


def test_names_files_that_exist():
    names = set(re.findall(r'\b(?:configs|tools|tests|mmdckd)/[\w/.-]*', README))
    assert 'configs/' in names
    missing = {name for name in names if not (ROOT / name).exists()}
    assert not missing


def test_the_shortest_config_is_that_of_imagenet(tmp_path):
    shortest = read(CONFIGS[0], tmp_path / 'shortest.py')
    ours = Config.fromfile(ROOT / 'configs' / 'dckd_r34_r18_imagenet.py')
    assert not ours.model.architecture.pop('pretrained')
    first = ours.train_dataloader.dataset.pipeline[0]
    assert first == dict(type='mmdckd.LoadImage')
    first.type = 'LoadImageFromFile'
    for key in (
        'model',
        'train_dataloader',
        'val_dataloader',
        'val_cfg',
        'test_cfg',
        'optim_wrapper',
        'param_scheduler',
        'train_cfg',
    ):
        assert shortest[key] == ours[key], key


def test_the_config_with_a_loss_of_mmrazor_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    page = (ROOT / 'docs' / 'howto' / 'mixing.md').read_text()
    block = re.search(r'```python\n(# with_dist.py\n.*?)```', page, re.S).group(1)
    block = block.replace('mmdckd::dckd_r34_r18_imagenet', './dckd_r34_r18_digits')
    cfg = read(block, tmp_path / 'mixed.py').model
    cfg.update(teacher_ckpt=None, allow_random_teacher=True)
    torch.manual_seed(0)
    model = build(**cfg)
    model.init_weights()
    data = model.data_preprocessor(digits(), True)
    losses = model(**data, mode='loss')
    for name in model.cohort.names:
        assert losses[f'distill.{name}.loss_dist'] > 0
        assert losses[f'collective.{name}.loss_dckd.collective'] > 0
