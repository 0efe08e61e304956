# KD on Fashion-MNIST: ResNet-14 teaches ResNet-8.
_base_ = '../_base_/pairs/fashion_mnist/resnet14_resnet8.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
