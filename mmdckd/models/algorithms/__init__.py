# Copyright (c) mmdckd contributors. All rights reserved.
from .collective_distill import CollectiveDistill

__all__ = ['CollectiveDistill']
