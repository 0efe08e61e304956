# Copyright (c) mmdckd contributors. All rights reserved.
from mmpretrain.models.backbones import ResNet_CIFAR
from mmpretrain.models.backbones.resnet import BasicBlock

from mmdckd.registry import MODELS


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """ResNet with three stages for 32x32 images, as in the CRD benchmark.

    The networks of section 4.2 of `Deep Residual Learning for Image
    Recognition <https://arxiv.org/abs/1512.03385>`_ (He et al., CVPR 2016):
    a 3x3 convolution, then three stages of :math:`n = (depth - 2) / 6` basic
    blocks at 32x32, 16x16 and 8x8 pixels. As in the benchmark, a shortcut that
    changes the width is a 1x1 convolution, and no block starts as the identity.

    The wide networks of the benchmark, ResNet-8x4 and ResNet-32x4, have
    ``stem_channels=32, base_channels=64``.

    Args:
        depth (int): 8, 14, 20, 32, 44, 56 or 110.
        stem_channels (int): Channels of the first convolution. Defaults to
            16.
        base_channels (int): Channels of the first stage; the next two have
            twice and four times as many. Defaults to 16.
        out_indices (Sequence[int]): The stages whose features are returned.
            Defaults to ``(2,)``, the last.
        zero_init_residual (bool): Whether every block starts as the identity.
            Defaults to False.
        **kwargs: Other arguments of :class:`mmpretrain.models.ResNet_CIFAR`;
            ``num_stages``, ``strides`` and ``dilations`` are fixed.

    Raises:
        KeyError: If ``depth`` has another value.

    Examples:
        >>> import torch
        >>> net = CIFARResNet(depth=20)
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 32, 32))]
        [(1, 64, 8, 8)]
    """

    arch_settings = {
        depth: (BasicBlock, ((depth - 2) // 6,) * 3)
        for depth in (8, 14, 20, 32, 44, 56, 110)
    }

    def __init__(
        self,
        depth: int,
        stem_channels: int = 16,
        base_channels: int = 16,
        out_indices: tuple = (2,),
        zero_init_residual: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(
            depth,
            stem_channels=stem_channels,
            base_channels=base_channels,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=out_indices,
            zero_init_residual=zero_init_residual,
            **kwargs,
        )
