# The student of the demo: ResNet-18 of CIFAR's size, a thirty-second as wide.
_base_ = 'mmpretrain::_base_/models/resnet18_cifar.py'

model = dict(backbone=dict(stem_channels=2, base_channels=2), head=dict(in_channels=16))
