# Copyright (c) mmdckd contributors. All rights reserved.
import operator
from typing import Dict, List, Tuple

import torch
from torch import nn


class BufferSnapshot:
    """The buffers of modules as they are now, to go back to.

    A forward pass in training changes the statistics of BatchNorm layers;
    once it has been in them, a value that is not finite stays.

    Args:
        *modules (nn.Module): The modules. Which parts of them have buffers is
            looked up once; the buffers may become others.
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
        """Remember the buffers as they are now, and no longer as they were
        before."""
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
            # One kernel for all of a kind, not one each.
            torch._foreach_copy_(copies, originals)

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to what all the buffers were."""
        for originals, copies in self._pairs.values():
            torch._foreach_copy_(originals, copies)
