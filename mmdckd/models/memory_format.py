# Copyright (c) mmdckd contributors. All rights reserved.
"""The channels-last memory format."""

from typing import Any, Tuple

import torch
from torch import nn

#: The channels that oneDNN computes at once.
_BLOCK = 16


def use_channels_last(model: nn.Module) -> None:
    """Convert a model to the channels-last memory format.

    On CPUs, convolutions of 1x1 pixels with a stride and fewer than 16 input channels
    stay as they are, with their inputs: for this format, the gradient of their weights
    in oneDNN overwrites other memory, and the process crashes, hangs or computes wrong
    values (https://github.com/uxlfoundation/oneDNN/issues/6035).

    Args:
        model (nn.Module): The model, changed in place.
    """
    model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and _overwrites(module):
            # `contiguous` would keep the strides: with 1x1 pixels, both formats fit.
            weight = module.weight.detach()
            module.weight.data = weight.clone(memory_format=torch.contiguous_format)
            if to_contiguous not in module._forward_pre_hooks.values():
                module.register_forward_pre_hook(to_contiguous)


def _overwrites(conv: nn.Conv2d) -> bool:
    return (
        conv.kernel_size == (1, 1)
        and max(conv.stride) > 1
        and conv.groups == 1
        and conv.in_channels < _BLOCK
    )


def to_contiguous(conv: nn.Module, args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """Make the images on a CPU contiguous; a forward pre-hook of a convolution that
    cannot be computed in channels last there."""
    images = args[0]
    return (images.contiguous() if images.is_cpu else images, *args[1:])
