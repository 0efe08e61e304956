# Copyright (c) mmdckd contributors. All rights reserved.
"""Datasets of real images that need no download."""
from .digits import Digits

__all__ = ['Digits']
