# Copyright (c) mmdckd contributors. All rights reserved.
# As configs/_base_/default_runtime.py.
from mmengine.hooks import (
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)
from mmengine.visualization import LocalVisBackend
from mmpretrain.engine import VisualizationHook

from mmdckd.engine.hooks import (
    CheckLabelsHook,
    CheckRunHook,
    CohortCheckpointHook,
    CohortStatisticsHook,
    CohortSummaryHook,
    DataTimeHook,
    ExactResumeHook,
    LimitHistoryHook,
    LossScaleHook,
    PreemptionHook,
    SaveOnNonFiniteHook,
    SkippedImagesHook,
)
from mmdckd.engine.runner import CohortLogProcessor
from mmdckd.engine.visualizers import CohortVisualizer

# Where the networks that `cfg_path` names find their parts.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=100),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(
        type=CohortCheckpointHook,
        interval=1,
        max_keep_ckpts=3,
        save_best='best/accuracy/top1',
    ),
    sampler_seed=dict(type=DistSamplerSeedHook),
    visualization=dict(type=VisualizationHook, enable=False),
    check_labels=dict(type=CheckLabelsHook),
    check_run=dict(type=CheckRunHook),
    save_on_nonfinite=dict(type=SaveOnNonFiniteHook),
    loss_scale=dict(type=LossScaleHook),
    skipped_images=dict(type=SkippedImagesHook),
    data_time=dict(type=DataTimeHook),
    limit_history=dict(type=LimitHistoryHook),
    exact_resume=dict(type=ExactResumeHook),
    preemption=dict(type=PreemptionHook),
    cohort_summary=dict(type=CohortSummaryHook),
    cohort_statistics=dict(type=CohortStatisticsHook),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

log_processor = dict(type=CohortLogProcessor)
vis_backends = [dict(type=LocalVisBackend)]
visualizer = dict(type=CohortVisualizer, vis_backends=vis_backends)
log_level = 'INFO'

load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
