# KD on CIFAR-100: ResNet-32x4 teaches ShuffleNetV1.
_base_ = '../_base_/pairs/cifar100/resnet32x4_shufflenetv1.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
