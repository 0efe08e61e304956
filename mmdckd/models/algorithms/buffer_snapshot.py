# Copyright (c) mmdckd contributors. All rights reserved.
from collections import defaultdict
from typing import Dict, Tuple

import torch
from torch import nn


class BufferSnapshot:
    """The buffers of modules as they are now, to go back to.

    A forward pass in training changes the statistics of BatchNorm layers;
    once it has been in them, a value that is not finite stays.

    Args:
        *modules (nn.Module): The modules.
    """

    @torch.no_grad()
    def __init__(self, *modules: nn.Module) -> None:
        self._pairs: Dict[tuple, Tuple[list,
                                       list]] = defaultdict(lambda: ([], []))
        for module in modules:
            for buffer in module.buffers():
                buffers, copies = self._pairs[buffer.device, buffer.dtype]
                buffers.append(buffer)
                copies.append(torch.empty_like(buffer))
        for buffers, copies in self._pairs.values():
            # One kernel for all of a kind, not one each.
            torch._foreach_copy_(copies, buffers)

    @torch.no_grad()
    def restore(self, module: nn.Module) -> None:
        """Go back to what the buffers of one of the modules, or of a module
        in it, were.

        Args:
            module (nn.Module): The module.
        """
        wanted = {id(buffer) for buffer in module.buffers()}
        for buffers, copies in self._pairs.values():
            for buffer, copy in zip(buffers, copies):
                if id(buffer) in wanted:
                    buffer.copy_(copy)
