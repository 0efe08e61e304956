# Copyright (c) mmdckd contributors. All rights reserved.
"""From the checkpoint of a cohort to one student, for MMPretrain alone."""

from .int8 import export_int8
from .onnx_file import export_onnx
from .plain_config import plain_config
from .student import ExportedStudent, export_student

__all__ = [
    'ExportedStudent',
    'export_int8',
    'export_onnx',
    'export_student',
    'plain_config',
]
