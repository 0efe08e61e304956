# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector


@MODELS.register_module()
class MeanCollector(FoldCollector):
    r"""Averages the members' distributions.

    .. math::
        C_i = \frac{1}{|S_i|} \sum_{j \in S_i} P_j

    Entropy is concave, so :math:`H(C_i)` is at least the mean of the members'
    entropies. The gradient of :math:`KL(C_i \| P_i)` is that of
    :math:`\frac{1}{|S_i|} \sum_j KL(P_j \| P_i)`, as in deep mutual learning
    (Zhang et al., CVPR 2018).

    The arguments are those of :class:`BaseCollector`.
    """

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        return log_probs.exp()

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return folded / size
