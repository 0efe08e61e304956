# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Sequence, Union

import torch
from mmcv.cnn import ConvModule
from torch import nn

from mmdckd.registry import MODELS

from .init_cfgs import NORMAL
from .staged_backbone import StagedBackbone

_NORM = dict(type='BN')
_RELU = dict(type='ReLU')


class InvertedResidual(nn.Module):
    """An inverted residual block: expand channels, filter each, and reduce.

    Unlike MMPretrain's block, it has an expanding convolution even if the ratio
    is 1, and uses ReLU instead of ReLU6.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Stride of the middle convolution; if it is 1 and the
            number of channels stays the same, the input is added.
        expand_ratio (int): The width of the middle relative to the input.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, expand_ratio: int
    ) -> None:
        super().__init__()
        self.with_shortcut = stride == 1 and in_channels == out_channels
        middle = in_channels * expand_ratio
        self.conv = nn.Sequential(
            ConvModule(in_channels, middle, 1, norm_cfg=_NORM, act_cfg=_RELU),
            ConvModule(
                middle,
                middle,
                3,
                stride,
                1,
                groups=middle,
                norm_cfg=_NORM,
                act_cfg=_RELU,
            ),
            ConvModule(middle, out_channels, 1, norm_cfg=_NORM, act_cfg=None),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter features (N, C, H, W)."""
        out = self.conv(x)
        return x + out if self.with_shortcut else out


@MODELS.register_module()
class CIFARMobileNetV2(StagedBackbone):
    """MobileNetV2 for 32x32 images, as in the CRD benchmark.

    `MobileNetV2 <https://arxiv.org/abs/1801.04381>`_ (Sandler et al., CVPR
    2018) at half the width. As in the benchmark, channels are not rounded to
    multiples of 8, the second stage keeps the resolution, and activations are
    ReLU.

    Args:
        widen_factor (float): Factor on the channels of all stages except the
            last convolution, which has 1280 or more. Defaults to 0.5.
        expand_ratio (int): The width of the middle of a block relative to its
            input; 1 in the first stage. Defaults to 6.
        out_indices (Sequence[int]): The stages to return, from 0 to 7; 7 is
            the last convolution. Defaults to (7, ).
        init_cfg (dict or Sequence[dict], optional): Initialization config.
            Defaults to normal weights scaled by the fan-out.

    Raises:
        ValueError: If an index is out of range.

    Examples:
        >>> import torch
        >>> net = CIFARMobileNetV2()
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 32, 32))]
        [(1, 1280, 2, 2)]
    """

    #: Channels, number of blocks and stride of the stages.
    STAGES = (
        (16, 1, 1),
        (24, 2, 1),
        (32, 3, 2),
        (64, 4, 2),
        (96, 3, 1),
        (160, 3, 2),
        (320, 1, 1),
    )

    def __init__(
        self,
        widen_factor: float = 0.5,
        expand_ratio: int = 6,
        out_indices: Sequence[int] = (7,),
        init_cfg: Union[dict, Sequence[dict], None] = NORMAL,
    ) -> None:
        super().__init__(len(self.STAGES) + 1, out_indices, init_cfg)
        in_channels = int(32 * widen_factor)
        self.conv1 = ConvModule(3, in_channels, 3, 2, 1, norm_cfg=_NORM, act_cfg=_RELU)
        self.layers = nn.ModuleList()
        for index, (channels, num_blocks, stride) in enumerate(self.STAGES):
            blocks = []
            for block in range(num_blocks):
                out_channels = int(channels * widen_factor)
                blocks.append(
                    InvertedResidual(
                        in_channels,
                        out_channels,
                        1 if block else stride,
                        expand_ratio if index else 1,
                    )
                )
                in_channels = out_channels
            self.layers.append(nn.Sequential(*blocks))
        self.layers.append(
            ConvModule(
                in_channels,
                max(1280, int(1280 * widen_factor)),
                1,
                norm_cfg=_NORM,
                act_cfg=_RELU,
            )
        )
