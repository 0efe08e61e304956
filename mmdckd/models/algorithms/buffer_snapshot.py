# Copyright (c) mmdckd contributors. All rights reserved.
import operator
from typing import Dict, List, Tuple

import torch
from torch import nn


class BufferSnapshot:
    """Saves the buffers of modules, and restores them.

    A forward pass in training mode updates the statistics of BatchNorm layers.
    A non-finite value that enters them never leaves.

    Args:
        *modules (nn.Module): The modules. Their submodules with buffers are
            found once; the buffers themselves may be replaced later.
    """

    def __init__(self, *modules: nn.Module) -> None:
        self._holders = [
            part._buffers
            for module in modules
            for part in module.modules()
            if part._buffers
        ]
        self._buffers: List[torch.Tensor] = []
        self._pairs: Dict[tuple, Tuple[List[torch.Tensor], List[torch.Tensor]]] = {}

    @torch.no_grad()
    def take(self) -> None:
        """Save the buffers, and discard what was saved before."""
        buffers = [
            buffer
            for holder in self._holders
            for buffer in holder.values()
            if buffer is not None
        ]
        if len(buffers) != len(self._buffers) or any(
            map(operator.is_not, buffers, self._buffers)
        ):
            self._buffers = buffers
            self._pairs = {}
            for buffer in buffers:
                originals, copies = self._pairs.setdefault(
                    (buffer.device, buffer.dtype), ([], [])
                )
                originals.append(buffer)
                copies.append(torch.empty_like(buffer))
        for originals, copies in self._pairs.values():
            # One kernel for all buffers of a device and type.
            torch._foreach_copy_(copies, originals)

    @torch.no_grad()
    def restore(self) -> None:
        """Restore all buffers to what :meth:`take` saved."""
        for originals, copies in self._pairs.values():
            torch._foreach_copy_(originals, copies)
