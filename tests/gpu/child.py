# Copyright (c) mmdckd contributors. All rights reserved.
"""A run in a process of its own: python child.py DEVICE FOLDER [--resume]."""

import os
import sys
from pathlib import Path

device, folder, *resume = sys.argv[1:]
if device == 'cpu':
    os.environ['CUDA_VISIBLE_DEVICES'] = ''
os.environ['CUBLAS_WORKSPACE_CONFIG'] = ':4096:8'

# The folder of tests, and the repository; this folder is there already.
sys.path[1:1] = map(str, Path(__file__).parents[1:3])

import torch  # noqa: E402
from long_runs import exact  # noqa: E402

from helpers.runs import train  # noqa: E402

# As in the tests.
torch.backends.cudnn.allow_tf32 = False
cfg = exact(Path(folder))
cfg.work_dir = folder
cfg.resume = bool(resume)
if resume:
    cfg.experiment_name += '_resumed'
train(cfg)
