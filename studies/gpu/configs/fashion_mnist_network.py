# Copyright (c) mmdckd contributors. All rights reserved.
# ResNet-56 on Fashion-MNIST, trained alone.
_base_ = [
    '../../../configs/_base_/models/crd/resnet56.py',
    'fashion_mnist.py',
    '../../../configs/_base_/alone.py',
]

model = dict(head=dict(num_classes=10))
