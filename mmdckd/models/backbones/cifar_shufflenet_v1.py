# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Sequence, Union

import torch
from mmcv.cnn import ConvModule
from mmpretrain.models.utils import channel_shuffle
from torch import nn

from mmdckd.registry import MODELS

from .init_cfgs import UNIFORM
from .staged_backbone import StagedBackbone

_NORM = dict(type='BN')
_RELU = dict(type='ReLU')


class ShuffleUnit(nn.Module):
    """A unit of ShuffleNet: compress, shuffle, filter and expand channels.

    Unlike MMPretrain's unit, a unit that halves the resolution has a middle of
    a quarter of the channels that it adds, not of all channels; ReLU follows
    the middle convolution; and ReLU is also applied to the appended input.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        groups (int): Groups of the 1x1 convolutions.
        first (bool): Whether it is the first unit of the network, which
            compresses without groups.
        halve (bool): Whether it halves the resolution. If so, the averaged
            input is appended to the output; otherwise the input is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, groups: int, first: bool, halve: bool
    ) -> None:
        super().__init__()
        own_channels = out_channels - in_channels if halve else out_channels
        middle = own_channels // 4
        self.first_groups = 1 if first else groups
        self.compress = ConvModule(
            in_channels,
            middle,
            1,
            groups=self.first_groups,
            norm_cfg=_NORM,
            act_cfg=_RELU,
        )
        self.depthwise = ConvModule(
            middle,
            middle,
            3,
            2 if halve else 1,
            1,
            groups=middle,
            norm_cfg=_NORM,
            act_cfg=_RELU,
        )
        self.expand = ConvModule(
            middle, own_channels, 1, groups=groups, norm_cfg=_NORM, act_cfg=None
        )
        self.pool = nn.AvgPool2d(3, 2, 1) if halve else None
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter features (N, C, H, W)."""
        out = channel_shuffle(self.compress(x), self.first_groups)
        out = self.expand(self.depthwise(out))
        if self.pool is None:
            out = out + x
        else:
            out = torch.cat([out, self.pool(x)], 1)
        return self.act(out)


@MODELS.register_module()
class CIFARShuffleNetV1(StagedBackbone):
    """ShuffleNetV1 for 32x32 images, as in the CRD benchmark.

    `ShuffleNet <https://arxiv.org/abs/1707.01083>`_ (Zhang et al., CVPR 2018)
    of width 1 with 3 groups. As in the benchmark, the stem is a 1x1
    convolution; :class:`ShuffleUnit` has the differences in the units.

    Args:
        out_indices (Sequence[int]): The stages to return, from 0 to 2.
            Defaults to (2, ).
        init_cfg (dict or Sequence[dict], optional): Initialization config.
            Defaults to PyTorch's initialization.

    Raises:
        ValueError: If an index is out of range.

    Examples:
        >>> import torch
        >>> net = CIFARShuffleNetV1()
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 32, 32))]
        [(1, 960, 4, 4)]
    """

    #: Channels and number of units of the stages.
    STAGES = ((240, 4), (480, 8), (960, 4))
    GROUPS = 3

    def __init__(
        self,
        out_indices: Sequence[int] = (2,),
        init_cfg: Union[dict, Sequence[dict], None] = UNIFORM,
    ) -> None:
        super().__init__(len(self.STAGES), out_indices, init_cfg)
        in_channels = 24
        # A ConvModule inside a Sequential does not initialize itself.
        self.conv1 = nn.Sequential(
            ConvModule(3, in_channels, 1, norm_cfg=_NORM, act_cfg=_RELU)
        )
        self.layers = nn.ModuleList()
        for stage, (out_channels, num_units) in enumerate(self.STAGES):
            units = []
            for unit in range(num_units):
                units.append(
                    ShuffleUnit(
                        in_channels,
                        out_channels,
                        self.GROUPS,
                        first=stage == unit == 0,
                        halve=unit == 0,
                    )
                )
                in_channels = out_channels
            self.layers.append(nn.Sequential(*units))
