# Copyright (c) mmdckd contributors. All rights reserved.
"""Datasets of real images that need no download."""
from .digits import Digits
from .glyph62 import Glyph62

__all__ = ['Digits', 'Glyph62']
