# KD on CIFAR-100: WRN-40-2 teaches WRN-16-2.
_base_ = '../_base_/pairs/cifar100/wrn40_2_wrn16_2.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
