# Copyright (c) mmdckd contributors. All rights reserved.
"""The version of mmdckd."""

__version__ = '0.1.0'
