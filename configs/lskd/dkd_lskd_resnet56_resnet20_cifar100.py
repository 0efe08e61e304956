# DKD with LSKD on CIFAR-100: ResNet-56 teaches ResNet-20.
_base_ = '../_base_/pairs/cifar100/resnet56_resnet20.py'

import mmengine

model = mmengine.Config.fromfile(
    '{{ fileDirname }}/../_base_/methods/dkd_lskd.py'
).model
