# Copyright (c) mmdckd contributors. All rights reserved.
"""Every distillation config of MMRazor that converts also runs."""

import os.path as osp
from importlib.util import find_spec

import pytest

from mmdckd.convert.razor import convert_config
from studies.razor.check_configs import FOLDER, fault_of_run, razor_configs, run_small

DATA_FREE = ('dafl', 'dfad', 'zskt')


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', [path for path in razor_configs() if path[:4] not in DATA_FREE]
)
def test_runs(path, tmp_path):
    if path.startswith('deit') and find_spec('timm') is None:
        pytest.skip('its teacher needs timm')
    config, _ = convert_config(osp.join(FOLDER, path), 2)
    logged = run_small(config, osp.basename(path), str(tmp_path))
    assert fault_of_run(logged, config) is None
