# Copyright (c) mmdckd contributors. All rights reserved.
# A recipe that takes a GPU half a minute: 12,000 images, 16 epochs.
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=1, T_max=15, end=16, convert_to_iter_based=True
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=16, val_interval=4)

train_dataloader = dict(batch_size=128, num_workers=1)
val_dataloader = dict(batch_size=500, num_workers=1)
test_dataloader = dict(batch_size=500, num_workers=1)
