# Copyright (c) mmdckd contributors. All rights reserved.
"""Classify images with an exported student."""

from .network import load_network
from .picture import annotate
from .predictor import Predictor

__all__ = ['Predictor', 'annotate', 'load_network']
