from .check_labels_hook import CheckLabelsHook
from .cohort_summary_hook import CohortSummaryHook
from .export_student_hook import ExportStudentHook
from .measure_errors_hook import MeasureErrorsHook

__all__ = [
    'CheckLabelsHook', 'CohortSummaryHook', 'ExportStudentHook',
    'MeasureErrorsHook'
]
