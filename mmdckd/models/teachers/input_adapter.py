# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable, Dict, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from mmdckd.values import is_whole


class InputAdapter:
    """Converts images preprocessed for the students to a teacher's input.

    Args:
        preprocessor (nn.Module, optional): The teacher's data preprocessor,
            with mean, standard deviation and channel order. None if the
            teacher takes the students' input.
        size (int | tuple, optional): The side, or (height, width), in pixels,
            to which images are resized (bicubic, antialiased). Defaults to
            None, no resizing.

    Raises:
        ValueError: If ``size`` is invalid.
    """

    def __init__(self, preprocessor: Optional[nn.Module], size=None) -> None:
        self._own = preprocessor
        self._size = None if size is None else _check_size(size)
        self._renormalize: Optional[Callable] = None

    def see_through(self, preprocessor: nn.Module) -> None:
        """Set the data preprocessor that produces the inputs.

        Args:
            preprocessor (nn.Module): The students' data preprocessor.
        """
        if self._own is not None:
            self._renormalize = _conversion(preprocessor, self._own)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Convert images (B, 3, H, W); they are returned unchanged if nothing
        differs."""
        if self._renormalize is not None:
            inputs = self._renormalize(inputs)
        if self._size and tuple(inputs.shape[-2:]) != self._size:
            inputs = F.interpolate(inputs, self._size, mode='bicubic', antialias=True)
        return inputs


def _check_size(size) -> Tuple[int, int]:
    sides = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2 or not all(is_whole(side, least=1) for side in sides):
        raise ValueError(
            'Invalid `teacher.input_size`: expected a side or (height, width) in '
            f'pixels, got {size!r}.'
        )
    return sides


def _conversion(source: nn.Module, target: nn.Module) -> Optional[Callable]:
    """Return a function that converts one normalization
    ``(image - mean) / std`` and channel order to another; None if they
    agree."""
    source_mean, source_std, source_rgb = _normalization(source)
    mean, std, rgb = _normalization(target)
    flip = source_rgb != rgb
    if flip:
        source_mean, source_std = source_mean.flip(0), source_std.flip(0)
    elif torch.equal(mean, source_mean) and torch.equal(std, source_std):
        return None
    scale, shift = source_std / std, (source_mean - mean) / std

    # Copy once per device: copying in every step would synchronize the GPU.
    copies: Dict[tuple, Tuple[torch.Tensor, torch.Tensor]] = {}

    def renormalize(inputs: torch.Tensor) -> torch.Tensor:
        if flip:
            inputs = inputs.flip(1)
        kind = inputs.device, inputs.dtype
        if kind not in copies:
            copies[kind] = scale.to(inputs), shift.to(inputs)
        scale_there, shift_there = copies[kind]
        return inputs * scale_there + shift_there

    return renormalize


def _normalization(preprocessor: nn.Module):
    mean, std = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    if getattr(preprocessor, 'mean', None) is not None:
        mean, std = preprocessor.mean.cpu(), preprocessor.std.cpu()
    rgb = getattr(preprocessor, 'to_rgb', False) or getattr(
        preprocessor, '_channel_conversion', False
    )
    return mean, std, bool(rgb)
