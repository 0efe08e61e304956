# A cohort: every member is validated in one pass, and the checkpoint with the best
# student is kept.
_base_ = 'default_runtime.py'

model = dict(type='mmdckd.CollectiveDistill')

val_cfg = dict(type='mmdckd.CollectiveValLoop')
test_cfg = dict(type='mmdckd.CollectiveTestLoop')

default_hooks = dict(checkpoint=dict(save_best='best/accuracy/top1'))
