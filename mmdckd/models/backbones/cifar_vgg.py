# Copyright (c) mmdckd contributors. All rights reserved.
from mmpretrain.models.backbones import VGG
from torch import nn

from mmdckd.registry import MODELS

_NORM = dict(type='BN')


@MODELS.register_module()
class CIFARVGG(VGG):
    """VGG for 32x32 images, as in the CRD benchmark.

    The convolutions of `Very Deep Convolutional Networks for Large-Scale
    Image Recognition <https://arxiv.org/abs/1409.1556>`_ (Simonyan and
    Zisserman, ICLR 2015) with batch normalization and without the hidden
    fully-connected layers. As in the benchmark, only the first three stages
    halve the resolution, so the last two work on 4x4 pixels.

    Args:
        depth (int): 8, 11, 13, 16 or 19.
        norm_cfg (dict): Config of the normalization. Defaults to
            ``dict(type='BN')``.
        **kwargs: Other arguments of :class:`mmpretrain.models.VGG`;
            ``with_last_pool`` is fixed.

    Raises:
        KeyError: If ``depth`` has another value.

    Examples:
        >>> import torch
        >>> net = CIFARVGG(depth=8)
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 32, 32))]
        [(1, 512, 4, 4)]
    """

    arch_settings = {8: (1, 1, 1, 1, 1), **VGG.arch_settings}

    def __init__(self, depth: int, norm_cfg: dict = _NORM, **kwargs) -> None:
        super().__init__(depth, norm_cfg=norm_cfg, with_last_pool=False, **kwargs)
        last_of_fourth = self.range_sub_modules[3][1] - 1
        self.features[last_of_fourth] = nn.Identity()
