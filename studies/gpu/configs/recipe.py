# Copyright (c) mmdckd contributors. All rights reserved.
# A recipe that a GPU is done with in half a minute: 12,000 images, 16 epochs.
import os

_small = os.environ.get('GPU_STUDY_DEVICE') == 'cpu'
_epochs = 1 if _small else 16
_images = 128 if _small else 12000

optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
)

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=1,
        T_max=max(1, _epochs - 1),
        end=max(2, _epochs),
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(by_epoch=True, max_epochs=_epochs, val_interval=max(1, _epochs // 4))

train_dataloader = dict(batch_size=128, num_workers=1)
val_dataloader = dict(batch_size=500, num_workers=1)
test_dataloader = dict(batch_size=500, num_workers=1)
