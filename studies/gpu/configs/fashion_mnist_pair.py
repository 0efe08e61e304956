# ResNet-56 teaches ResNet-20 on Fashion-MNIST.
_base_ = ['fashion_mnist.py', '../../../configs/_base_/cohort.py']

_own = dict(
    backbone=dict(in_channels=1), head=dict(num_classes=10, topk=(1, )))

model = dict(
    teacher=dict(cfg_path='configs/_base_/models/crd/resnet56.py', **_own),
    teacher_ckpt=None,
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet20.py', **_own))
