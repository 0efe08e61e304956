# Copyright (c) mmdckd contributors. All rights reserved.
"""What refuses, before the first step, a run that would silently be another
one. One check a file."""

from .checkpoint import check_checkpoint
from .class_names import check_class_names
from .custom_keys import check_custom_keys
from .monitors import check_monitors
from .single_images import check_single_images
from .unlabeled_images import check_unlabeled_images, has_unlabeled

__all__ = [
    'check_checkpoint',
    'check_class_names',
    'check_custom_keys',
    'check_monitors',
    'check_single_images',
    'check_unlabeled_images',
    'has_unlabeled',
]
