# Copyright (c) mmdckd contributors. All rights reserved.
"""MMEngine's ``compile``, as a user sets it; without its last part, which
makes machine code of what was traced and takes minutes."""

import pytest

from helpers.commands import REPO, run_tool, scalars

CONFIG = f"""
_base_ = '{REPO}/configs/dckd_r34_r18_digits.py'
_network = dict(
    _delete_=True,
    cfg_path='{REPO}/configs/_base_/models/crd/resnet8.py',
    head=dict(num_classes=10))
model = dict(
    teacher=_network, teacher_ckpt=None, allow_random_teacher=True,
    architecture=_network, num_students=2)
train_cfg = dict(max_epochs=1)
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.mark.slow
def test_a_compiled_cohort_trains_as_any_other(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(CONFIG)
    plain, compiled = tmp_path / 'plain', tmp_path / 'compiled'
    run_tool('train.py', config, '--work-dir', plain)
    printed = run_tool(
        'train.py',
        config,
        '--work-dir',
        compiled,
        '--verbose',
        '--cfg-options',
        'compile.backend=aot_eager',
    )
    assert 'Model has been "compiled"' in printed
    ((expected, scores),) = scalars(plain)
    ((logged, same_scores),) = scalars(compiled)
    names = [name for name in expected[0] if 'loss' in name]
    assert {'loss', 'student.student1.loss'} <= set(names)
    assert len(logged) == len(expected) == 17
    # By rounding alone, which grows from step to step.
    for ours, other in zip(logged[:4], expected):
        for name in names:
            assert ours[name] == pytest.approx(other[name], rel=1e-3), name
    assert same_scores[0].keys() == scores[0].keys()
