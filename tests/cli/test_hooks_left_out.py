# Copyright (c) mmdckd contributors. All rights reserved.
"""`default_hooks.X=None` leaves a hook out, whichever it is."""

import copy
import itertools
import os.path as osp

import pytest
from mmengine.config import Config

from helpers.commands import REPO
from mmdckd.engine.runner.building import build_runner

DML = Config.fromfile(osp.join(REPO, 'configs', 'dml', 'dml_r18_digits.py'))
_number = itertools.count()

KEYS = ['runtime_info', *DML.default_hooks]
ALONE = ['runtime_info', 'check_run', 'visualization']


@pytest.mark.parametrize(
    'keys',
    [
        *[[key] for key in ALONE],
        *[
            pytest.param([key], marks=pytest.mark.slow)
            for key in KEYS
            if key not in ALONE and key != 'exact_resume'
        ],
        KEYS[1:],
    ],
)
def test_a_run_goes_without(keys, tmp_path):
    cfg = copy.deepcopy(DML)
    cfg.merge_from_dict(
        {
            'launcher': 'none',
            'work_dir': str(tmp_path),
            'experiment_name': f'without{next(_number)}',
            'log_level': 'ERROR',
            'model.num_students': 2,
            'train_cfg.max_epochs': 1,
            'train_dataloader.dataset.indices': 64,
            'val_dataloader.dataset.indices': 40,
            **{f'default_hooks.{key}': None for key in keys},
        }
    )
    runner = build_runner(cfg)
    runner.train()
    assert runner.epoch == 1
    kinds = [type(hook).__name__ for hook in runner.hooks]
    for key in keys:
        left_out = str(dict(DML.default_hooks).get(key, {}).get('type'))
        assert left_out.split('.')[-1] not in kinds
    checks = {'check_labels': 'CheckLabelsHook', 'check_run': 'CheckRunHook'}
    for name, kind in checks.items():
        assert (kind in kinds) == (name not in keys)
