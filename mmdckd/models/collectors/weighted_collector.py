# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional, Sequence

import torch

from mmdckd.errors import invalid
from mmdckd.registry import MODELS

from ..options import check_positive
from .base_collector import BaseCollector


@MODELS.register_module()
class WeightedCollector(BaseCollector):
    r"""Averages the members with fixed weights from the config.

    .. math::
        C_i = \frac{\sum_{j \in S_i} w_j P_j}{\sum_{j \in S_i} w_j}

    With ``model.folds`` it is refused, as each image has other members.

    Args:
        weights (Sequence[float]): One weight above 0 for each student, in the
            order of their names, then, with ``include_teacher``, one for each
            teacher. With ``model.finished_peers``, the weights of these replace
            the students', and with ``include_self`` one follows for the student
            itself. For a ``teacher_collector``, one for each teacher.
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.

    Raises:
        ValueError: If they are no list of numbers above 0.

    Examples:
        >>> DCKDLoss(
        ...     teacher_collector=dict(type='weighted', weights=[2., 1.]))
    """

    by_member = True

    def __init__(
        self,
        weights: Sequence[float],
        include_self: bool = False,
        include_teacher: bool = False,
    ) -> None:
        super().__init__(include_self, include_teacher)
        if not isinstance(weights, (list, tuple)):
            raise invalid('weights', 'a list of numbers above 0', weights)
        for weight in weights:
            check_positive('weights', weight)
        self.weights = [float(weight) for weight in weights]

    def check_members(self, num_members: int) -> None:
        if len(self.weights) != num_members:
            raise ValueError(
                f'Invalid `weights`: expected {num_members} weights for '
                'WeightedCollector, one for each member, students first, got '
                f'{len(self.weights)}.'
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
        return (weights * log_probs.exp()).sum(0)

    def extra_repr(self) -> str:
        return f'weights={self.weights}, {super().extra_repr()}'
