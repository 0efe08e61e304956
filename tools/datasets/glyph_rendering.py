# Copyright (c) mmdckd contributors. All rights reserved.
"""Render a font file as one gray image for each digit and letter."""

import logging
import math
import re
import string
import struct
from contextlib import contextmanager
from typing import Iterator, List, NamedTuple

import numpy as np
from fontTools import agl
from fontTools.ttLib import TTFont, TTLibError
from PIL import Image, ImageDraw, ImageFont

#: The characters of a font that are drawn, in the order of the classes.
CHARACTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
#: The extensions of font files; other files are ignored.
SUFFIXES = ('.otf', '.pfa', '.pfb', '.t1', '.ttf')
# Glyphs are drawn with an em square of this many times the size of an image, and
# then shrunk: fitting small glyphs to pixels would change their shapes.
_OVERSAMPLING = 4
# The share of an image's side that the largest glyph of a font fills.
_FILL = 28 / 32


class UnusableFont(ValueError):
    """Raised for a font that cannot be drawn or lacks characters."""


class FontName(NamedTuple):
    """The metadata of a font.

    Attributes:
        family (str): The family, such as 'DejaVu Sans'.
        style (str): The style within it, such as 'Bold Oblique'.
        version (str): The version, '' where the font names none.
    """

    family: str
    style: str
    version: str


class FontGlyphs(NamedTuple):
    """A drawn font.

    Attributes:
        name (FontName): Its family, style and version.
        images (np.ndarray): Its characters, uint8 of shape (62, size, size),
            in the order of ``CHARACTERS``; the ink is 255, the ground 0.
    """

    name: FontName
    images: np.ndarray


def render_font(path: str, size: int = 32) -> FontGlyphs:
    """Draw the digits and letters of a font.

    All glyphs of a font have the same scale: the largest one fills 7/8 of the
    side of the image, so that small letters stay smaller than capital ones.
    Each glyph is centered by the box around its ink.

    Args:
        path (str): A TrueType, OpenType or Type 1 file.
        size (int): The side of an image in pixels. Defaults to 32.

    Returns:
        FontGlyphs: The name of the font and its images.

    Raises:
        UnusableFont: If the file cannot be read; if the font lacks one of the
            characters, leaves one blank, or draws all alike; if it shows
            symbols in their place.
    """
    sfnt = path.lower().endswith(('.otf', '.ttf'))
    version = _check_sfnt(path) if sfnt else _type1_version(path)
    try:
        font = ImageFont.truetype(
            path, _OVERSAMPLING * size, layout_engine=ImageFont.Layout.BASIC
        )
        inks = [_ink(font, character) for character in CHARACTERS]
        missing = _ink(font, '\uffff')
    except OSError as error:
        raise UnusableFont(f'cannot be drawn: {error}') from error
    _require([c for c, ink in zip(CHARACTERS, inks) if ink == missing])
    blank = [c for c, ink in zip(CHARACTERS, inks) if not ink.size[0]]
    if blank:
        raise UnusableFont(f'leaves blank: {"".join(blank)}')
    side = math.ceil(max(max(ink.size) for ink in inks) / _FILL)
    images = np.stack([_shrink(ink, side, size) for ink in inks])
    if (images == images[0]).all():
        raise UnusableFont('draws all characters alike')
    family, style = font.getname()
    return FontGlyphs(
        FontName((family or '').strip(), (style or '').strip(), version), images
    )


def _ink(font: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    """Draw a character, cut to the box around its ink."""
    left, top, right, bottom = map(int, font.getbbox(character))
    image = Image.new('L', (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font)
    return image.crop(image.getbbox() or (0, 0, 0, 0))


def _shrink(ink: Image.Image, side: int, size: int) -> np.ndarray:
    """Center a glyph in a square and average that down to the image."""
    square = Image.new('L', (side, side))
    width, height = ink.size
    square.paste(ink, ((side - width) // 2, (side - height) // 2))
    return np.asarray(square.resize((size, size), Image.Resampling.BOX))


def _check_sfnt(path: str) -> str:
    """Check that a TrueType or OpenType font has the characters.

    Returns:
        str: The version of the font.
    """
    try:
        with _quiet_font_tools(), TTFont(path, lazy=True) as font:
            cmap = font.getBestCmap() if 'cmap' in font else None
            version = font['name'].getDebugName(5) or ''
    except (
        AssertionError,
        KeyError,
        OSError,
        struct.error,
        TTLibError,
        ValueError,
    ) as error:
        raise UnusableFont(f'cannot be read: {error}') from error
    if not cmap:
        raise UnusableFont('maps no Unicode characters')
    _require([c for c in CHARACTERS if ord(c) not in cmap])
    # Some symbol fonts map letters to symbols; the names of glyphs reveal it.
    others = [c for c in CHARACTERS if _means_another(cmap[ord(c)], c)]
    if len(others) > len(CHARACTERS) / 2:
        raise UnusableFont('shows symbols in place of characters')
    return version.strip()


def _type1_version(path: str) -> str:
    with open(path, 'rb') as file:
        found = re.search(rb'/version\s*\(([^)]*)\)', file.read())
    return found[1].decode('latin-1').strip() if found else ''


def _require(missing: List[str]) -> None:
    if missing:
        raise UnusableFont(f'lacks: {"".join(missing)}')


def _means_another(glyph: str, character: str) -> bool:
    meaning = agl.toUnicode(glyph, isZapfDingbats=True)
    if meaning:
        return meaning != character
    # A numbered name, 'glyph36' or 'cid00034', says nothing.
    return not glyph[-1:].isdigit()


@contextmanager
def _quiet_font_tools() -> Iterator[None]:
    """Hide warnings about small faults of a font."""
    logger = logging.getLogger('fontTools')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
