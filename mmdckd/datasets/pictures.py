# Copyright (c) mmdckd contributors. All rights reserved.
"""Images in memory, in the forms that people have them in."""

from typing import Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

#: An image in memory: a PIL image; pixels from 0 to 255, (H, W) or
#: (H, W, 3), RGB, as an array; or (H, W), (1, H, W) or (3, H, W) as a tensor.
InMemory = Union[Image.Image, np.ndarray, Tensor]


def is_input(image: object) -> bool:
    """Whether an image is a tensor that networks take as it is."""
    return isinstance(image, Tensor) and image.is_floating_point()


def as_bgr(image: InMemory, key: str) -> np.ndarray:
    """An image as MMPretrain's transforms take it.

    Args:
        image (Image | np.ndarray | Tensor): The image.
        key (str): What it was given as, for the message.

    Returns:
        np.ndarray: Its pixels, of type uint8 and shape (H, W, 3), BGR.

    Raises:
        ValueError: If it is no such image.
    """
    if isinstance(image, Image.Image):
        pixels = np.asarray(image.convert('RGB'))
    elif isinstance(image, Tensor) and image.dtype == torch.uint8:
        pixels = image.numpy() if image.ndim == 2 else image.movedim(0, -1).numpy()
    else:
        pixels = image  # type: ignore[assignment]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        found = f'{type(image).__name__} of {getattr(image, "dtype", "no numbers")}'
        raise ValueError(
            f'Invalid `{key}`: expected an image: a PIL image, an array or tensor of '
            f'uint8, or a tensor of floats that networks take, got a {found}.'
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise ValueError(
            f'Invalid `{key}`: expected the pixels of one gray or RGB image, got shape '
            f'{tuple(image.shape)}.'  # type: ignore[union-attr]
        )
    return np.ascontiguousarray(
        np.broadcast_to(pixels, (*pixels.shape[:2], 3))[..., ::-1]
    )
