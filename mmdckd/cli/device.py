# Copyright (c) mmdckd contributors. All rights reserved.
"""Chooses the device of a run."""

import argparse
import os
from typing import List, Optional


def hide_gpus(argv: Optional[List[str]] = None) -> None:
    """Hide the GPUs from torch if the arguments contain ``--device cpu``.

    Call it before the arguments are parsed: parsing ``--cfg-options`` imports torch,
    as opening the console does, and importing MMEngine chooses the device.

    Args:
        argv (List[str], optional): The arguments. Defaults to None: those of the
            process.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument('--device', nargs='?')
    if parser.parse_known_args(argv)[0].device == 'cpu':
        use_device('cpu')


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
