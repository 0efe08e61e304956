# Copyright (c) mmdckd contributors. All rights reserved.
"""Weights that ship as a package, on photographs that ship as packages."""
