# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks that stop a run before its first step if it would silently do
something other than its config says. One check per file."""

from .by_epoch import check_by_epoch
from .checkpoint import check_checkpoint
from .class_names import check_class_names
from .custom_keys import check_custom_keys
from .early_stops import check_early_stops
from .equal_parts import check_equal_parts
from .ignored_settings import check_ignored_settings
from .monitors import check_monitors
from .single_images import check_single_images
from .stopped_distillation import check_stopped_distillation
from .unlabeled_images import check_unlabeled_images, has_unlabeled

__all__ = [
    'check_by_epoch',
    'check_checkpoint',
    'check_class_names',
    'check_custom_keys',
    'check_early_stops',
    'check_equal_parts',
    'check_ignored_settings',
    'check_monitors',
    'check_single_images',
    'check_stopped_distillation',
    'check_unlabeled_images',
    'has_unlabeled',
]
