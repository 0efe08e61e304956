# Copyright (c) mmdckd contributors. All rights reserved.
"""What an exported student says of images."""

from .network import load_network
from .picture import annotate
from .predictor import Predictor

__all__ = ['Predictor', 'annotate', 'load_network']
