# Copyright (c) mmdckd contributors. All rights reserved.
# ResNet-56 teaches ResNet-20 on Fashion-MNIST.
_base_ = ['fashion_mnist.py', '../../../configs/_base_/cohort.py']

model = dict(
    teacher=dict(
        cfg_path='configs/_base_/models/crd/resnet56.py', head=dict(num_classes=10)
    ),
    teacher_ckpt=None,
    architecture=dict(
        cfg_path='configs/_base_/models/crd/resnet20.py', head=dict(num_classes=10)
    ),
)
