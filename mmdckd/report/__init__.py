# Copyright (c) mmdckd contributors. All rights reserved.
from .curves import draw_curves, read_curves

__all__ = ['draw_curves', 'read_curves']
