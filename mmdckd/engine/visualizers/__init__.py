# Copyright (c) mmdckd contributors. All rights reserved.
from .cohort_visualizer import CohortVisualizer

__all__ = ['CohortVisualizer']
