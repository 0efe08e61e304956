# Copyright (c) mmdckd contributors. All rights reserved.
"""Export a student from the checkpoint of a cohort as a plain MMPretrain model."""

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
