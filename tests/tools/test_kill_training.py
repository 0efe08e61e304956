# Copyright (c) mmdckd contributors. All rights reserved.
"""A short version of what docs/reliability.md reports."""
import json
import os.path as osp
import sys

from user import run


def test_killed_again_and_again_it_ends_as_if_it_never_was(tmp_path):
    out = tmp_path / 'kills.json'
    run(sys.executable,
        osp.join('tools', 'stress', 'kill_training.py'),
        '--kills',
        '4',
        '--iterations',
        '20',
        '--out',
        str(out),
        OMP_NUM_THREADS='1')
    result = json.loads(out.read_text())
    assert result['kills'] >= 3 and result['iterations'] == 20
    assert sum(result['kills_by_moment'].values()) == result['kills']
    assert result['unreadable_checkpoints'] == 0
    assert result['same_outcome'] and result['same_log']
