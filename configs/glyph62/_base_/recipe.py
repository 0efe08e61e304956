# The recipe of the benchmark of CRD, four times shorter.
_base_ = '../../_base_/datasets/glyph62.py'

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.0005)
)

param_scheduler = dict(
    type='MultiStepLR', by_epoch=True, milestones=[38, 45, 53], gamma=0.1
)

train_cfg = dict(by_epoch=True, max_epochs=60, val_interval=1)

auto_scale_lr = dict(base_batch_size=64)
