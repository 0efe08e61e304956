# Copyright (c) mmdckd contributors. All rights reserved.
"""Exports a student that no config can build as a ``torch.export`` program."""

from typing import Optional

import torch
from torch import Tensor, nn

from mmdckd.console.messages import warn
from mmdckd.io.files import replacing


def export_program(network: nn.Module, images: Tensor, path: str) -> Optional[str]:
    """Write a network as a program that needs only PyTorch.

    Run it with ``torch.export.load(path).module()(images)``, on batches of any
    size.

    Args:
        network (nn.Module): The network, in evaluation mode.
        images (Tensor): A batch of at least two, as the network receives it.
        path (str): The file to write, ``.pt2``.

    Returns:
        str, optional: The path; None, with a warning in the log, if
        ``torch.export`` cannot trace the network.
    """
    try:
        program = torch.export.export(
            network, (images,), dynamic_shapes=({0: torch.export.Dim('batch')},)
        )
    except Exception as error:  # torch.export's errors have no common base class
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warn(
            f'{path} is not written: torch.export cannot trace '
            f'{type(network).__name__} ({reason}). Load the weights beside it into '
            'your own network.'
        )
        return None
    with replacing(path) as new:
        with open(new, 'wb') as file:  # given a path, torch requires the ending .pt2
            torch.export.save(program, file)
    return path
