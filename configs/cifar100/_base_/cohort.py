# What the pairs share: a cohort is trained by the recipe.
_base_ = 'recipe.py'

model = dict(type='mmdckd.CollectiveDistill')

val_cfg = dict(type='mmdckd.CollectiveValLoop')
test_cfg = dict(type='mmdckd.CollectiveTestLoop')

default_hooks = dict(checkpoint=dict(save_best='best/accuracy/top1'))
