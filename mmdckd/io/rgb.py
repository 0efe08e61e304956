# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert images of Pillow to what the networks see of them."""

import numpy as np
from PIL import Image

_ORIENTATION = 0x0112
#: The turn that each EXIF orientation asks for.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8 bits per channel.

    Pillow's ``convert`` clips 16-bit gray values at 255; their upper 8 bits are
    what OpenCV reads.

    Args:
        image (Image): The image.

    Returns:
        Image: The image in mode RGB.
    """
    # Pillow opens a 16-bit PGM, as older versions do a 16-bit PNG, in mode I.
    if image.mode.startswith('I;16') or (
        image.mode == 'I' and image.format in ('PNG', 'PPM')
    ):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert('RGB')


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to 8 bits per channel, turned as its camera was held.

    Unlike Pillow's ``exif_transpose``, it reads only the orientation, so that
    other EXIF fields may be damaged.

    Args:
        image (Image): The opened file, or an image with its EXIF data.

    Returns:
        Image: The image in mode RGB.
    """
    rgb = to_rgb(image)
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF raises errors of any type
        turn = None
    return rgb if turn is None else rgb.transpose(turn)
