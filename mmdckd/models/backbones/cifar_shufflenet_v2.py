# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Sequence, Union

from mmcv.cnn import ConvModule
from mmpretrain.models.backbones import ShuffleNetV2
from torch import nn

from mmdckd.registry import MODELS

from .init_cfgs import UNIFORM


@MODELS.register_module()
class CIFARShuffleNetV2(ShuffleNetV2):
    """ShuffleNetV2 for 32x32 images, as in the CRD benchmark.

    MMPretrain's :class:`ShuffleNetV2` (`Ma et al., ECCV 2018
    <https://arxiv.org/abs/1807.11164>`_) with the benchmark's stem: a 1x1
    convolution that keeps the resolution, instead of a 3x3 convolution and
    pooling that reduce it to a quarter.

    Args:
        widen_factor (float): 0.5, 1.0, 1.5 or 2.0. Defaults to 1.0.
        init_cfg (dict or Sequence[dict], optional): Initialization config.
            Defaults to PyTorch's initialization.
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
        # A ConvModule inside a Sequential does not initialize itself.
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
        """Initialize by ``init_cfg``, not with MMPretrain's values for ImageNet."""
        super(ShuffleNetV2, self).init_weights()
