# Copyright (c) mmdckd contributors. All rights reserved.
"""Look at the losses of a step without making the host wait for the device."""

from functools import reduce
from typing import Callable, Dict, List, Optional, Tuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch.autograd import Variable
from torch.utils._pytree import tree_leaves

from mmdckd.names import is_loss


class CopiedLosses:
    """The mean of every loss, on its way to the CPU.

    A single copy transfers all values, so the host waits for the device at most
    once.

    Args:
        losses (Dict[str, Tensor | List[Tensor]]): Losses and statistics by
            name.

    Attributes:
        means (Dict[str, Tensor]): The detached means on the device by name.
    """

    def __init__(self, losses: Dict[str, torch.Tensor]) -> None:
        self.means = {name: mean_of(value) for name, value in losses.items()}
        self._several = get_world_size() > 1
        means = list(self.means.values()) or [torch.zeros(())]
        dtype = reduce(torch.promote_types, [mean.dtype for mean in means])
        stacked = torch.stack([mean.to(dtype) for mean in means])
        if self._several:
            finite = stacked.isfinite().int()
            all_reduce(finite, 'min')
            stacked = torch.stack([stacked, finite.to(dtype)])
        self._copied: Optional[torch.cuda.Event] = None
        # From a GPU, the copy is in pinned memory, where it may arrive later.
        later = _arrives_later(stacked)
        self._values = stacked.to('cpu', non_blocking=later)
        if later:
            self._copied = torch.cuda.Event()
            self._copied.record()

    def look_at(self) -> Tuple[Dict[str, torch.Tensor], Dict[str, bool]]:
        """Wait for the copy.

        Returns:
            tuple: The detached means on the CPU by name; and, for each entry that
            MMEngine trains (with "loss" in its name), whether its mean is finite
            in every process.
        """
        if self._copied is not None:
            self._copied.synchronize()
        values, flags = self._values, self._values.isfinite()
        if self._several:
            values, flags = self._values
        return dict(zip(self.means, values.unbind())), {
            name: flag
            for name, flag in zip(self.means, flags.bool().tolist())
            if is_loss(name)
        }


def _arrives_later(losses: torch.Tensor) -> bool:
    """Return whether a copy to the CPU arrives while the host continues. A compiler
    would have to keep copy and event in order."""
    return losses.is_cuda and not torch.compiler.is_compiling()


def at_end_of_backward(
    losses: Dict[str, torch.Tensor], function: Callable[[], None]
) -> bool:
    """Call a function once, at the end of the first backward pass through losses.

    Args:
        losses (Dict[str, Tensor | List[Tensor]]): Losses and statistics by
            name.
        function (Callable): What it raises, ``backward`` raises. It must not
            refer to the losses, which would refer to themselves, and never be
            freed.

    Returns:
        bool: Whether any loss requires gradients; if not, the function will not
        be called.
    """
    queued: List[bool] = []

    def queue(_: torch.Tensor) -> None:
        if not queued:
            queued.append(True)
            Variable._execution_engine.queue_callback(function)

    trained = [
        tensor
        for name, loss in losses.items()
        if is_loss(name)
        for tensor in tree_leaves(loss)
        if tensor.requires_grad
    ]
    for tensor in trained:
        tensor.register_hook(queue)
    return bool(trained)


def mean_of(loss) -> torch.Tensor:
    """Reduce a loss, a tensor or a list of tensors, as MMEngine does."""
    if not isinstance(loss, torch.Tensor):
        return sum((mean_of(each) for each in loss), torch.tensor(0.0))
    return (loss if loss.ndim == 0 else loss.mean()).detach()
