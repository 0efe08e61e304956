# Copyright (c) mmdckd contributors. All rights reserved.
from .accuracy_figure import draw_curves
from .curves import read_curves

__all__ = ['draw_curves', 'read_curves']
