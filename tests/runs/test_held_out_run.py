# Copyright (c) mmdckd contributors. All rights reserved.
"""Held-out knowledge in one phase, from random weights."""

import pytest

from helpers.commands import run_tool, scalars


@pytest.mark.slow
@pytest.mark.parametrize('seed', [0, 1])
def test_a_cohort_learns_from_blind_peers_alone(seed, tmp_path):
    """Where these predicted with running statistics, it reached 20 to 28 %."""
    run_tool(
        *('train.py', 'configs/held_out/held_out_r18_digits.py'),
        *('--work-dir', tmp_path, '--cfg-options'),
        *('model.teacher=None', 'model.teacher_ckpt=None', f'randomness.seed={seed}'),
        'model.distiller.collective_losses.loss_dckd.alpha=0.0',
        *('train_cfg.max_epochs=10', 'train_cfg.val_interval=10'),
    )
    ((_, validations),) = scalars(tmp_path)
    assert validations[-1]['ensemble/accuracy/top1'] > 60
