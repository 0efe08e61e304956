# The teacher of dckd_r34_r18_digits.py: ResNet-34, an eighth as wide.
_base_ = [
    'mmpretrain::_base_/models/resnet34_cifar.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/digits_bs64.py',
    '../_base_/alone.py',
]

model = dict(backbone=dict(stem_channels=8, base_channels=8), head=dict(in_channels=64))

default_hooks = dict(logger=dict(interval=10))
