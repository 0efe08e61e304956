# Copyright (c) mmdckd contributors. All rights reserved.
from .classification import Classification
from .finding import TASKS, build_task, find_task
from .heads import Knowledge, knowledge_of
from .labels import has_labels
from .multi_label import MultiLabel
from .token_heads import check_trains, learn_by_token

__all__ = [
    'Classification',
    'Knowledge',
    'MultiLabel',
    'TASKS',
    'build_task',
    'check_trains',
    'find_task',
    'has_labels',
    'knowledge_of',
    'learn_by_token',
]
