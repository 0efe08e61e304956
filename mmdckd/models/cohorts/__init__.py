# Copyright (c) mmdckd contributors. All rights reserved.
from .student_cohort import StudentCohort

__all__ = ['StudentCohort']
