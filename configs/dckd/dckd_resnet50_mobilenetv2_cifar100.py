# DCKD on CIFAR-100: ResNet-50 teaches four MobileNetV2.
_base_ = '../_base_/pairs/cifar100/resnet50_mobilenetv2.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
