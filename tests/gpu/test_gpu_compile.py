# Copyright (c) mmdckd contributors. All rights reserved.
"""MMEngine's ``compile``: the test that takes longest, in a file that comes
first."""

import pytest
import torch
from small import TOLERANCES, losses, quick

from helpers.runs import train

pytestmark = pytest.mark.gpu


def test_compiled(device, compare, tmp_path):
    """``compile=True`` as it is on a GPU; on the CPU without its last part,
    which takes minutes there."""
    cfg = quick(tmp_path)
    # What is traced of a batch grows with its images.
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.indices = 12
    expected = losses(train(cfg))
    cfg.work_dir += '_compiled'
    cfg.experiment_name += '_compiled'
    cfg.compile = True
    if device.type == 'cpu':
        cfg.compile = dict(backend='aot_eager')
    try:
        ours = losses(train(cfg))
    finally:
        torch._dynamo.reset()
    assert ours[0] == expected[0]
    compare('compile=True: losses', ours[1], expected[1], TOLERANCES['compiled'])
