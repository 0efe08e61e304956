# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs of a cohort whose students are in different processes."""
