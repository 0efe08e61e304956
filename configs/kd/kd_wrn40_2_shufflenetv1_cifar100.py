# KD on CIFAR-100: WRN-40-2 teaches ShuffleNetV1.
_base_ = '../_base_/pairs/cifar100/wrn40_2_shufflenetv1.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
