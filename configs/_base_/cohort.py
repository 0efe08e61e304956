# A cohort: every member is evaluated in one pass, and the checkpoint whose
# best student is best in validation is kept.
_base_ = 'default_runtime.py'

model = dict(type='mmdckd.CollectiveDistill')

val_cfg = dict(type='mmdckd.CollectiveValLoop')
test_cfg = dict(type='mmdckd.CollectiveTestLoop')

default_hooks = dict(checkpoint=dict(save_best='best/accuracy/top1'))
