_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(type='mmdckd.CohortCheckpointHook', max_keep_ckpts=3),
    check_labels=dict(type='mmdckd.CheckLabelsHook'),
    check_run=dict(type='mmdckd.CheckRunHook'),
    save_on_nonfinite=dict(type='mmdckd.SaveOnNonFiniteHook'),
    loss_scale=dict(type='mmdckd.LossScaleHook'),
    skipped_images=dict(type='mmdckd.SkippedImagesHook'),
    unlabeled_share=dict(type='mmdckd.UnlabeledShareHook'),
    data_time=dict(type='mmdckd.DataTimeHook'),
    limit_history=dict(type='mmdckd.LimitHistoryHook'),
    exact_resume=dict(type='mmdckd.ExactResumeHook'),
    preemption=dict(type='mmdckd.PreemptionHook'),
    cohort_summary=dict(type='mmdckd.CohortSummaryHook'),
    cohort_statistics=dict(type='mmdckd.CohortStatisticsHook'),
)

log_processor = dict(type='mmdckd.CohortLogProcessor')
visualizer = dict(type='mmdckd.CohortVisualizer')

randomness = dict(seed=0)
