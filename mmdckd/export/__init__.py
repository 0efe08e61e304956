# Copyright (c) mmdckd contributors. All rights reserved.
"""From the checkpoint of a cohort to one student, for MMPretrain alone."""
from .plain_config import plain_config
from .student import ExportedStudent, export_student

__all__ = ['ExportedStudent', 'export_student', 'plain_config']
