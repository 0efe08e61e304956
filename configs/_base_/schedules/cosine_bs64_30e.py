# As cosine_bs64_20e.py, for 30 epochs.
_base_ = 'cosine_bs64_20e.py'

param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=28, end=30)

train_cfg = dict(max_epochs=30)
