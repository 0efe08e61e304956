# DCKD on CIFAR-100: ResNet-32x4 teaches four ResNet-8x4.
_base_ = '../_base_/pairs/cifar100/resnet32x4_resnet8x4.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
