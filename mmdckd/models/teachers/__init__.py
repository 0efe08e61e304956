# Copyright (c) mmdckd contributors. All rights reserved.
from .frozen_teacher import FrozenTeacher
from .trainable_teacher import TrainableTeacher

__all__ = ['FrozenTeacher', 'TrainableTeacher']
