# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector


@MODELS.register_module()
class MaxCollector(FoldCollector):
    r"""Per class the largest probability that any member gives.

    .. math::
        C_i[c] = \frac{\max_{j \in S_i} P_j[c]}
                      {\sum_k \max_{j \in S_i} P_j[k]}

    A class that one member finds plausible survives. Of several labels,
    :math:`C_i[c]` is the largest probability itself: classes are no rivals.

    Its arguments are those of :class:`BaseCollector`.
    """

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        return log_probs.exp()

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.maximum(a, b)

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return self.task.renormalize(folded)
