# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector


@MODELS.register_module()
class LogitMeanCollector(FoldCollector):
    r"""Takes the softened softmax of the members' mean logits.

    .. math::
        C_i = \mathrm{softmax}\Bigl(
              \frac{1}{|S_i|} \sum_{j \in S_i} \log P_j\Bigr)
            = \mathrm{softmax}\Bigl(
              \frac{1}{|S_i|} \sum_{j \in S_i} \frac{z_j}{\tau}\Bigr)

    Both sides are equal, as :math:`\log P_j` and :math:`z_j / \tau` differ by a
    constant in each row, which does not change the softmax. It is the
    normalized geometric mean of the members' distributions.

    The arguments are those of :class:`BaseCollector`.
    """

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        return log_probs

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a + b

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return (folded / size).softmax(-1)
