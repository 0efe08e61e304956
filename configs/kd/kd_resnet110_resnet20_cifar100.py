# KD on CIFAR-100: ResNet-110 teaches ResNet-20.
_base_ = '../_base_/pairs/cifar100/resnet110_resnet20.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
