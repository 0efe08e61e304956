# Copyright (c) mmdckd contributors. All rights reserved.
import operator
from typing import Dict, List, Tuple

import torch
from mmrazor.models.losses.crd_loss import ContrastMemory
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
        parts = [part for module in modules for part in module.modules()]
        banks = [part for part in parts if isinstance(part, ContrastMemory)]
        self._holders = [
            part._buffers for part in parts if part._buffers and part not in banks
        ]
        self._rows = [_ChangedRows(bank) for bank in banks]
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
        for rows in self._rows:
            rows.forget()

    @torch.no_grad()
    def restore(self) -> None:
        """Restore all buffers to what :meth:`take` saved."""
        for originals, copies in self._pairs.values():
            torch._foreach_copy_(originals, copies)
        for rows in self._rows:
            rows.restore()


class _ChangedRows:
    """Saves what a step changes in the memory banks of CRD, which are too large to
    be copied in every step."""

    def __init__(self, bank: ContrastMemory) -> None:
        self._saved: List[Tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        bank.register_forward_pre_hook(self._save)

    def _save(self, bank: ContrastMemory, args: tuple) -> None:
        numbers = torch.arange(len(bank.params), device=bank.params.device)
        # Those of the last step alone: not every step is one to restore.
        self._saved = [
            (buffer, rows, buffer[rows].clone())
            for buffer, rows in [
                (bank.memory_v1, args[2]),
                (bank.memory_v2, args[2]),
                (bank.params, numbers),
            ]
        ]

    def forget(self) -> None:
        self._saved.clear()

    def restore(self) -> None:
        for buffer, rows, values in self._saved:
            buffer[rows] = values
