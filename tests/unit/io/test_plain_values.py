# Copyright (c) mmdckd contributors. All rights reserved.
import json

import mmengine
import numpy as np
import torch

from mmdckd.io.plain_values import plain_values


def test_whatever_a_metric_returns_is_written(tmp_path):
    metrics = {
        'tensor': torch.arange(4).view(2, 2),
        'number': torch.tensor(0.5),
        'numpy': np.float32(0.25),
        'array': np.array([1.0, np.nan, np.inf]),
        'nan': float('nan'),
        'nested': dict(a=[1, (2.0, torch.tensor([float('nan')]))]),
        3: None,
        'flag': True,
        'other': torch.float32,
    }
    expected = {
        'tensor': [[0, 1], [2, 3]],
        'number': 0.5,
        'numpy': 0.25,
        'array': [1.0, None, None],
        'nan': None,
        'nested': dict(a=[1, [2.0, [None]]]),
        '3': None,
        'flag': True,
        'other': 'torch.float32',
    }
    for ending in ('json', 'yaml', 'pkl'):
        path = str(tmp_path / f'metrics.{ending}')
        mmengine.dump(plain_values(metrics), path)
        assert mmengine.load(path) == expected
    text = (tmp_path / 'metrics.json').read_text()
    assert 'NaN' not in text and json.loads(text) == expected
