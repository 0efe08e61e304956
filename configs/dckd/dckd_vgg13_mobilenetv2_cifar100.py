# DCKD on CIFAR-100: VGG-13 teaches four MobileNetV2.
_base_ = '../_base_/pairs/cifar100/vgg13_mobilenetv2.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
