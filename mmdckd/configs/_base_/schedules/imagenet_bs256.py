# Copyright (c) mmdckd contributors. All rights reserved.
# As MMPretrain's _base_/schedules/imagenet_bs256.py, with mmdckd's loops.
from mmengine.optim import MultiStepLR
from torch.optim import SGD

from mmdckd.engine.loops import CollectiveTestLoop, CollectiveValLoop

optim_wrapper = dict(
    optimizer=dict(type=SGD, lr=0.1, momentum=0.9, weight_decay=0.0001)
)
param_scheduler = dict(
    type=MultiStepLR, by_epoch=True, milestones=[30, 60, 90], gamma=0.1
)

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict(type=CollectiveValLoop)
test_cfg = dict(type=CollectiveTestLoop)

auto_scale_lr = dict(base_batch_size=256)
