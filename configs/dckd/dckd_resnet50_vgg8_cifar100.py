# DCKD on CIFAR-100: ResNet-50 teaches four VGG-8.
_base_ = '../_base_/pairs/cifar100/resnet50_vgg8.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
