# Copyright (c) mmdckd contributors. All rights reserved.
"""Networks of the CRD benchmark for 32x32 images, and wrappers of other networks.

`Contrastive Representation Distillation <https://arxiv.org/abs/1910.10699>`_
(Tian et al., ICLR 2020) compared distillation methods on these networks, and
most papers since have followed. MMPretrain and MMRazor have variants for larger
images or with other details, which are reused where possible. ResNet-50 is
MMPretrain's ``ResNet_CIFAR``.
"""

from .cifar_mobilenet_v2 import CIFARMobileNetV2
from .cifar_resnet import CIFARResNet
from .cifar_shufflenet_v1 import CIFARShuffleNetV1
from .cifar_shufflenet_v2 import CIFARShuffleNetV2
from .cifar_vgg import CIFARVGG
from .cifar_wide_resnet import CIFARWideResNet
from .module_backbone import ModuleBackbone

__all__ = [
    'CIFARMobileNetV2',
    'CIFARResNet',
    'CIFARShuffleNetV1',
    'CIFARShuffleNetV2',
    'CIFARVGG',
    'CIFARWideResNet',
    'ModuleBackbone',
]
