_base_ = 'mmpretrain::_base_/default_runtime.py'

default_hooks = dict(
    checkpoint=dict(max_keep_ckpts=3),
    check_labels=dict(type='mmdckd.CheckLabelsHook'),
    cohort_summary=dict(type='mmdckd.CohortSummaryHook'))

randomness = dict(seed=0)
