# Copyright (c) mmdckd contributors. All rights reserved.
from .collective_eval_loops import CollectiveTestLoop, CollectiveValLoop

__all__ = ['CollectiveTestLoop', 'CollectiveValLoop']
