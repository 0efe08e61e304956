from .check_labels_hook import CheckLabelsHook
from .export_student_hook import ExportStudentHook

__all__ = ['CheckLabelsHook', 'ExportStudentHook']
