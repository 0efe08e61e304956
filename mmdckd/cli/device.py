# Copyright (c) mmdckd contributors. All rights reserved.
"""Chooses the device of a run."""

import os
from typing import Optional


def use_device(device: Optional[str]) -> None:
    """Show torch only the requested device; call it before torch is imported.

    Args:
        device (str, optional): ``'cpu'``, ``'cuda'``, or None for whatever is
            available.

    Raises:
        SystemExit: If ``'cuda'`` is requested and torch finds no GPU.
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
