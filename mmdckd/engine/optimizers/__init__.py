# Copyright (c) mmdckd contributors. All rights reserved.
from .clip_each_student import ClipEachStudentConstructor
from .cpu_amp import CPUAmpOptimWrapper

__all__ = ['CPUAmpOptimWrapper', 'ClipEachStudentConstructor']
