# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw the statistics of a run, during training and in its report."""
