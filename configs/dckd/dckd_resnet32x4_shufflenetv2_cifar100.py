# DCKD on CIFAR-100: ResNet-32x4 teaches four ShuffleNetV2.
_base_ = '../_base_/pairs/cifar100/resnet32x4_shufflenetv2.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
