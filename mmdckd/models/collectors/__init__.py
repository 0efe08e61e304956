# Copyright (c) mmdckd contributors. All rights reserved.
from .base_collector import BaseCollector
from .builder import build_collector
from .logit_mean_collector import LogitMeanCollector
from .max_collector import MaxCollector
from .mean_collector import MeanCollector
from .min_logit_collector import MinLogitCollector

__all__ = [
    'BaseCollector', 'LogitMeanCollector', 'MaxCollector', 'MeanCollector',
    'MinLogitCollector', 'build_collector'
]
