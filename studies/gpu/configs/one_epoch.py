# Copyright (c) mmdckd contributors. All rights reserved.
# One epoch instead of 16.
_base_ = 'recipe.py'

param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=1, end=2)

train_cfg = dict(max_epochs=1, val_interval=1)
