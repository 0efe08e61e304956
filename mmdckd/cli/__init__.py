# Copyright (c) mmdckd contributors. All rights reserved.
"""The commands, one per module, and what they share."""
