# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Sequence, Union

from mmcv.cnn import ConvModule
from mmpretrain.models.backbones import ShuffleNetV2
from torch import nn

from mmdckd.registry import MODELS

from .init_cfgs import UNIFORM


@MODELS.register_module()
class CIFARShuffleNetV2(ShuffleNetV2):
    """ShuffleNetV2 for images of 32x32.

    MMPretrain's :class:`ShuffleNetV2` (`Ma et al., ECCV 2018
    <https://arxiv.org/abs/1807.11164>`_) with the stem of the benchmark of
    CRD: a 1x1 convolution that keeps the size in place of a 3x3 convolution
    and a pooling that quarter it. Its weights start as PyTorch starts them.

    Args:
        widen_factor (float): 0.5, 1.0, 1.5 or 2.0. Defaults to 1.0.
        init_cfg (dict or Sequence[dict], optional): Initialization config.
            Defaults to PyTorch's own.
        **kwargs: Other arguments of :class:`mmpretrain.models.ShuffleNetV2`.

    Examples:
        >>> import torch
        >>> net = CIFARShuffleNetV2()
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 32, 32))]
        [(1, 1024, 4, 4)]
    """

    def __init__(
        self,
        widen_factor: float = 1.0,
        init_cfg: Union[dict, Sequence[dict], None] = UNIFORM,
        **kwargs,
    ) -> None:
        super().__init__(widen_factor, init_cfg=init_cfg, **kwargs)
        # In a Sequential, whose ConvModule does not initialize itself.
        self.conv1 = nn.Sequential(
            ConvModule(
                3,
                24,
                1,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
                act_cfg=self.act_cfg,
            )
        )
        self.maxpool = nn.Identity()

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``, not as MMPretrain does on ImageNet."""
        super(ShuffleNetV2, self).init_weights()
