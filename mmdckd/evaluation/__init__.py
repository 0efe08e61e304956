# Copyright (c) mmdckd contributors. All rights reserved.
from .cohort_sums import CohortSums, correlation_distance
from .prediction_sums import (PredictionSums, SoftSums,
                              expected_calibration_error, soften)

__all__ = [
    'CohortSums', 'PredictionSums', 'SoftSums', 'correlation_distance',
    'expected_calibration_error', 'soften'
]
