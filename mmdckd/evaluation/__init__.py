# Copyright (c) mmdckd contributors. All rights reserved.
from .cohort_sums import CohortSums, correlation_distance
from .prediction_sums import (
    MOST_CLASSES,
    PredictionSums,
    SoftSums,
    expected_calibration_error,
    soften,
)
from .predictions import MOST_IMAGES, Predictions, split_files

__all__ = [
    'MOST_CLASSES',
    'MOST_IMAGES',
    'CohortSums',
    'PredictionSums',
    'Predictions',
    'SoftSums',
    'correlation_distance',
    'expected_calibration_error',
    'soften',
    'split_files',
]
