# Copyright (c) mmdckd contributors. All rights reserved.
"""Deep collective knowledge distillation for MMRazor and MMPretrain."""
from . import compat
from .version import __version__

compat.apply()

__all__ = ['__version__']
