# Copyright (c) mmdckd contributors. All rights reserved.
"""Train with weights and photographs that are distributed as packages."""
