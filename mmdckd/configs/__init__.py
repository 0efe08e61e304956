# Copyright (c) mmdckd contributors. All rights reserved.
"""Configs of MMEngine's new style, which import what they name."""
