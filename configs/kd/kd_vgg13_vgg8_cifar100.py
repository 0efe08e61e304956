# KD on CIFAR-100: VGG-13 teaches VGG-8.
_base_ = '../_base_/pairs/cifar100/vgg13_vgg8.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
