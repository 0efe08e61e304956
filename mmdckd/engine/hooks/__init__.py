# Copyright (c) mmdckd contributors. All rights reserved.
from .check_labels_hook import CheckLabelsHook
from .check_run_hook import CheckRunHook
from .cohort_checkpoint_hook import CohortCheckpointHook
from .cohort_statistics_hook import CohortStatisticsHook
from .cohort_summary_hook import CohortSummaryHook
from .data_time_hook import DataTimeHook
from .exact_resume_hook import ExactResumeHook
from .folds_hook import FoldsHook
from .limit_history_hook import LimitHistoryHook
from .loss_scale_hook import LossScaleHook
from .measure_errors_hook import MeasureErrorsHook
from .preemption_hook import PreemptionHook
from .save_on_nonfinite_hook import SaveOnNonFiniteHook
from .skipped_images_hook import SkippedImagesHook
from .teacher_cache_hook import TeacherCacheHook
from .unlabeled_share_hook import UnlabeledShareHook
from .weight_average_hook import WeightAverageHook

__all__ = [
    'CheckLabelsHook',
    'CheckRunHook',
    'CohortCheckpointHook',
    'CohortStatisticsHook',
    'CohortSummaryHook',
    'DataTimeHook',
    'ExactResumeHook',
    'FoldsHook',
    'LimitHistoryHook',
    'LossScaleHook',
    'MeasureErrorsHook',
    'PreemptionHook',
    'SaveOnNonFiniteHook',
    'SkippedImagesHook',
    'TeacherCacheHook',
    'UnlabeledShareHook',
    'WeightAverageHook',
]
