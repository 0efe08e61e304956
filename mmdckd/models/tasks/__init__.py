# Copyright (c) mmdckd contributors. All rights reserved.
from .classification import Classification
from .finding import TASKS, build_task, find_task
from .heads import Knowledge, knowledge_of, predicted_scores
from .labels import has_labels
from .multi_label import MultiLabel
from .token_heads import train_classifiers

__all__ = [
    'Classification',
    'Knowledge',
    'MultiLabel',
    'TASKS',
    'build_task',
    'find_task',
    'has_labels',
    'knowledge_of',
    'predicted_scores',
    'train_classifiers',
]
