# Copyright (c) mmdckd contributors. All rights reserved.
from .collective_distiller import CollectiveDistiller

__all__ = ['CollectiveDistiller']
