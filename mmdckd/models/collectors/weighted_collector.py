# Copyright (c) mmdckd contributors. All rights reserved.
import math
from typing import List, Optional, Sequence

import torch

from mmdckd.registry import MODELS

from ..options import check_choice
from .base_collector import BaseCollector


@MODELS.register_module()
class WeightedCollector(BaseCollector):
    r"""The mean of the members, each with a weight that the config gives.

    .. math::
        C_i = \frac{\sum_{j \in S_i} w_j P_j}{\sum_{j \in S_i} w_j}
        \quad \text{or} \quad
        C_i = \mathrm{softmax}\Big(
              \frac{\sum_{j \in S_i} w_j \log P_j}{\sum_{j \in S_i} w_j}\Big)

    Args:
        weights (Sequence[float]): One of each student, then one of each
            teacher that is in the set; more than 0. As a
            ``teacher_collector``, one of each teacher.
        average (str): What is averaged, ``'probs'`` or ``'logits'``.
            Defaults to ``'probs'``.
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.

    Raises:
        ValueError: If a weight is not more than 0, or ``average`` is another.

    Examples:
        >>> DCKDLoss(
        ...     teacher_collector=dict(type='weighted', weights=[2., 1.]))
    """

    AVERAGES = ('probs', 'logits')

    def __init__(
        self,
        weights: Sequence[float],
        average: str = 'probs',
        include_self: bool = False,
        include_teacher: bool = False,
    ) -> None:
        super().__init__(include_self, include_teacher)
        self.weights = [float(weight) for weight in weights]
        if not all(0 < weight < math.inf for weight in self.weights):
            raise ValueError(
                f'`weights` of a WeightedCollector are more than 0, but got {weights}.'
            )
        check_choice('average', average, self.AVERAGES)
        self.average = average

    def check_members(self, num_members: int) -> None:
        if len(self.weights) != num_members:
            raise ValueError(
                f'WeightedCollector has {len(self.weights)} `weights`, but '
                f'there are {num_members} members to collect from: give each '
                'one, the students first.'
            )

    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        weights = torch.tensor(
            [self.weights[j] for j in members], dtype=log_probs.dtype
        )
        weights = (weights / weights.sum()).view(-1, 1, 1)
        weights = weights.to(log_probs.device, non_blocking=True)
        if self.average == 'logits':
            return (weights * log_probs).sum(0).softmax(-1)
        return (weights * log_probs.exp()).sum(0)

    def extra_repr(self) -> str:
        return (
            f'weights={self.weights}, average={self.average!r}, {super().extra_repr()}'
        )
