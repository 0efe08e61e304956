# Copyright (c) mmdckd contributors. All rights reserved.
from .agreement_collector import AgreementCollector
from .base_collector import BaseCollector
from .builder import build_collector
from .confidence_collector import ConfidenceCollector
from .cross_entropy_collector import CrossEntropyCollector
from .fold_collector import FoldCollector
from .general_collector import GeneralCollector
from .held_out_collector import HeldOutCollector
from .linear_collector import LinearCollector
from .logit_mean_collector import LogitMeanCollector
from .max_collector import MaxCollector
from .mean_collector import MeanCollector
from .min_logit_collector import MinLogitCollector
from .naive_collector import NaiveCollector
from .weighted_collector import WeightedCollector

__all__ = [
    'AgreementCollector',
    'BaseCollector',
    'ConfidenceCollector',
    'CrossEntropyCollector',
    'FoldCollector',
    'GeneralCollector',
    'HeldOutCollector',
    'LinearCollector',
    'LogitMeanCollector',
    'MaxCollector',
    'MeanCollector',
    'MinLogitCollector',
    'NaiveCollector',
    'WeightedCollector',
    'build_collector',
]
