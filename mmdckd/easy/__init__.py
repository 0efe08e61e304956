# Copyright (c) mmdckd contributors. All rights reserved.
"""From a folder of images and two names of networks to a student."""
