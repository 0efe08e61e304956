# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert images in memory to the form that transforms need."""

from typing import Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmdckd.io.rgb import upright_rgb

#: An image in memory: a PIL image; pixels from 0 to 255, (H, W) or
#: (H, W, 3), RGB, as an array; or (H, W), (1, H, W) or (3, H, W) as a tensor.
InMemory = Union[Image.Image, np.ndarray, Tensor]


def is_input(image: object) -> bool:
    """Tell whether an image is a tensor of floats, the input of a network."""
    return isinstance(image, Tensor) and image.is_floating_point()


def as_bgr(image: InMemory, key: str) -> np.ndarray:
    """Convert an image to the BGR pixels that MMPretrain's transforms need.

    A PIL image whose EXIF data asks for a turn is turned, as a file is.

    Args:
        image (Image | np.ndarray | Tensor): The image.
        key (str): The name of the argument, for the error message.

    Returns:
        np.ndarray: The pixels, of type uint8 and shape (H, W, 3), BGR.

    Raises:
        ValueError: If it is not such an image.
    """
    if isinstance(image, Image.Image):
        pixels = np.asarray(upright_rgb(image))
    elif isinstance(image, Tensor) and image.dtype == torch.uint8:
        pixels = image.numpy() if image.ndim == 2 else image.movedim(0, -1).numpy()
    else:
        pixels = image  # type: ignore[assignment]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        found = f'{type(image).__name__} of {getattr(image, "dtype", "no numbers")}'
        raise ValueError(
            f'Invalid `{key}`: expected a PIL image, an array or tensor of uint8, or '
            f'a tensor of floats that a network accepts, got a {found}.'
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise ValueError(
            f'Invalid `{key}`: expected the pixels of one gray or RGB image, as an '
            'array (H, W) or (H, W, 3), as a tensor (H, W), (1, H, W) or (3, H, W), '
            f'got shape {tuple(image.shape)}.'  # type: ignore[union-attr]
        )
    return np.ascontiguousarray(
        np.broadcast_to(pixels, (*pixels.shape[:2], 3))[..., ::-1]
    )
