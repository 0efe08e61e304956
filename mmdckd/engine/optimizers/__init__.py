# Copyright (c) mmdckd contributors. All rights reserved.
from .clip_each_student import ClipEachStudentConstructor

__all__ = ['ClipEachStudentConstructor']
