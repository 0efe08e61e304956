# Copyright (c) mmdckd contributors. All rights reserved.
from .cohort_log_processor import CohortLogProcessor

__all__ = ['CohortLogProcessor']
