# Copyright (c) mmdckd contributors. All rights reserved.
"""A student that no config can build, as a program of ``torch.export``."""

from typing import Optional

import torch
from torch import Tensor, nn

from mmdckd.console.messages import warn
from mmdckd.io.files import replacing


def export_program(network: nn.Module, images: Tensor, path: str) -> Optional[str]:
    """Write a network as a program that needs PyTorch alone.

    ``torch.export.load(path).module()(images)`` runs it, on batches of any
    size.

    Args:
        network (nn.Module): The network, in evaluation mode.
        images (Tensor): A batch of two or more, as the network takes them.
        path (str): The file to write, ``.pt2``.

    Returns:
        str, optional: The path; None if ``torch.export`` cannot follow the
        network's Python, of which the log has a warning.
    """
    try:
        program = torch.export.export(
            network, (images,), dynamic_shapes=({0: torch.export.Dim('batch')},)
        )
    except Exception as error:  # it has no common parent
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        warn(
            f'No {path} is written: torch.export cannot follow '
            f'{type(network).__name__} ({reason}). Load the weights beside it into '
            'your own network.'
        )
        return None
    with replacing(path) as new:
        with open(new, 'wb') as file:  # of a path, it wants the ending .pt2
            torch.export.save(program, file)
    return path
