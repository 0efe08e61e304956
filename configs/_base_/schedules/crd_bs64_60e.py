# The schedule of the CRD benchmark, four times shorter.
_base_ = 'crd_bs64_240e.py'

param_scheduler = dict(milestones=[38, 45, 53])

train_cfg = dict(max_epochs=60)
