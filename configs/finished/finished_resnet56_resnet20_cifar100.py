# Finished peers on CIFAR-100: ResNet-56 teaches two ResNet-20, and all three a third.
_base_ = '../_base_/pairs/cifar100/resnet56_resnet20.py'

import mmengine

model = mmengine.Config.fromfile(
    '{{ fileDirname }}/../_base_/methods/finished.py'
).model
phases = mmengine.Config.fromfile(
    '{{ fileDirname }}/../_base_/methods/finished.py'
).phases
