# The schedule of the CRD benchmark: 240 epochs in batches of 64.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=0.0005)
)

param_scheduler = dict(
    type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1
)

train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)

auto_scale_lr = dict(base_batch_size=64)
