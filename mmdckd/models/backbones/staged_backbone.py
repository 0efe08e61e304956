# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Sequence, Tuple, Union

import torch
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn


class StagedBackbone(BaseBackbone):
    """Base of networks with a stem, ``conv1``, and stages, ``layers``.

    Args:
        num_stages (int): The number of stages that a subclass adds.
        out_indices (Sequence[int]): The stages to return, counted from 0.
        init_cfg (dict or Sequence[dict], optional): Initialization config.

    Raises:
        ValueError: If an index is out of range.
    """

    conv1: nn.Module
    layers: nn.ModuleList

    def __init__(
        self,
        num_stages: int,
        out_indices: Sequence[int],
        init_cfg: Union[dict, Sequence[dict], None],
    ) -> None:
        super().__init__(init_cfg)
        if not set(out_indices) <= set(range(num_stages)):
            raise ValueError(
                f'Invalid `out_indices`: expected stages from 0 to {num_stages - 1}, '
                f'got {out_indices}.'
            )
        self.out_indices = out_indices

    def forward(self, x: torch.Tensor) -> Tuple[torch.Tensor, ...]:
        """Compute features.

        Args:
            x (Tensor): Images (N, 3, H, W).

        Returns:
            Tuple[Tensor]: The features (N, C, H', W') of the stages in
            ``out_indices``.
        """
        x = self.conv1(x)
        outs = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.out_indices:
                outs.append(x)
        return tuple(outs)
