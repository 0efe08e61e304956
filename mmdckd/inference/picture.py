# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import List, Tuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from mmdckd.io.images import open_image
from mmdckd.io.rgb import upright_rgb

#: The width of a picture in pixels; the image is scaled to this width, or to the
#: height HEIGHT.
WIDTH = 360
HEIGHT = 1440
_LINE = 26
_FONT = 16
_BAR, _TEXT = '#9ecae1', '#1a1a1a'


def annotate(path: str, top: List[Tuple[str, float]]) -> Image.Image:
    """Draw an image with the predictions of a network below it.

    Args:
        path (str): The image file.
        top (List[Tuple[str, float]]): Names of classes and their scores, from
            0 to 1, best first. Each has a line with a bar.

    Returns:
        Image: The picture. The pixels of a small image stay squares.

    Raises:
        OSError: If the image cannot be read.
    """
    with open(path, 'rb') as content, open_image(content.read()) as file:
        image = upright_rgb(file)
    scale = min(WIDTH / image.width, HEIGHT / image.height)
    width = max(1, round(image.width * scale))
    height = max(1, round(image.height * scale))
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    picture = Image.new('RGB', (WIDTH, height + _LINE * len(top)), 'white')
    picture.paste(image.resize((width, height), resample), ((WIDTH - width) // 2, 0))
    draw = ImageDraw.Draw(picture)
    # This font has Latin, Greek and Cyrillic, and comes with matplotlib.
    font = ImageFont.truetype(
        osp.join(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), _FONT
    )
    for row, (name, score) in enumerate(top):
        y = height + row * _LINE
        draw.rectangle((0, y + 2, round(score * (WIDTH - 1)), y + _LINE - 3), fill=_BAR)
        number = f'{score:.1%}'
        room = WIDTH - 12 - draw.textlength(number, font)
        draw.text((4, y + 3), _fit(name, room - 12, draw, font), _TEXT, font)
        draw.text((room + 8, y + 3), number, _TEXT, font)
    return picture


def _fit(
    name: str, width: float, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont
) -> str:
    """Cut a name to a width in pixels."""
    if draw.textlength(name, font) <= width:
        return name
    while name and draw.textlength(f'{name}…', font) > width:
        name = name[:-1]
    return f'{name}…'
