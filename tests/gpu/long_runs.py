# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs with all that has a state, made deterministic."""

from small import network

from helpers import resumed


def exact(work_dir, **kwargs):
    """A run that should be the same to the bit, however often it stops."""
    cfg = resumed.config(work_dir, **kwargs)
    # One that drops features at random.
    student = network()
    student['head'] = dict(
        type='StackedLinearClsHead',
        num_classes=10,
        in_channels=16,
        mid_channels=[16],
        dropout_rate=0.5,
    )
    cfg.model.architecture = student
    cfg.model.teacher = network()
    cfg.randomness = dict(seed=0, deterministic=True)
    return cfg
