# Copyright (c) mmdckd contributors. All rights reserved.
"""Distillation in one call: from a folder of images and two network names to a
student."""
