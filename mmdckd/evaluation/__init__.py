# Copyright (c) mmdckd contributors. All rights reserved.
from .cohort_sums import CohortSums, correlation_distance
from .prediction_sums import (
    MOST_CLASSES,
    PredictionSums,
    SoftSums,
    expected_calibration_error,
    soften,
)

__all__ = [
    'MOST_CLASSES',
    'CohortSums',
    'PredictionSums',
    'SoftSums',
    'correlation_distance',
    'expected_calibration_error',
    'soften',
]
