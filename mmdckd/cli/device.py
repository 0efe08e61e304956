# Copyright (c) mmdckd contributors. All rights reserved.
"""The device of a run."""

import os
from typing import Optional


def use_device(device: Optional[str]) -> None:
    """Let torch see the device that a run is to use, before it is imported.

    Args:
        device (str, optional): ``'cpu'``, ``'cuda'``, or None for what there
            is.

    Raises:
        SystemExit: If there is no GPU to use.
    """
    if device == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    elif device == 'cuda':
        import torch

        if not torch.cuda.is_available():
            raise SystemExit(
                'error: Invalid `--device`: expected cpu, as torch finds no GPU, got '
                'cuda.'
            )
