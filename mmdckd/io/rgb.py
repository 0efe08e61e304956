# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert images of Pillow to what the networks see of them."""

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


def upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image file to 8 bits per channel, turned as its camera was held.

    Unlike Pillow's ``exif_transpose``, it reads only the orientation, so that
    other EXIF fields may be damaged.

    Args:
        image (Image): The opened file.

    Returns:
        Image: The image in mode RGB.
    """
    rgb = image.convert('RGB')
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF raises errors of any type
        turn = None
    return rgb if turn is None else rgb.transpose(turn)
