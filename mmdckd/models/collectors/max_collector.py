# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector


@MODELS.register_module()
class MaxCollector(FoldCollector):
    r"""Takes, for each class, the largest probability of any member.

    .. math::
        C_i[c] = \frac{\max_{j \in S_i} P_j[c]}
                      {\sum_k \max_{j \in S_i} P_j[k]}

    The target keeps every class that some member finds plausible. In
    multi-label classification, :math:`C_i[c]` is the largest probability
    without normalization.

    The arguments are those of :class:`BaseCollector`.
    """

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        return log_probs.exp()

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.maximum(a, b)

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return self.task.renormalize(folded)
