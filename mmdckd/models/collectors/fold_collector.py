# Copyright (c) mmdckd contributors. All rights reserved.
from abc import abstractmethod
from functools import reduce
from typing import List, Optional

import torch

from .base_collector import BaseCollector
from .leave_one_out import leave_one_out


class FoldCollector(BaseCollector):
    r"""Base of collectors whose target is a fold over the members of a set.

    .. math::
        C_i = \mathrm{normalize}\Bigl(\operatorname*{fold}_{j \in S_i}
              \mathrm{values}(\log P_j),\ |S_i|\Bigr)

    All N targets are computed in O(N). A subclass implements the contribution
    of a member (:meth:`values`), the combination of two contributions
    (:meth:`fold`) and the normalization of the result to a distribution
    (:meth:`normalize`).

    The arguments are those of :class:`BaseCollector`.

    Examples:
        >>> @MODELS.register_module()
        ... class ProductCollector(FoldCollector):
        ...
        ...     def values(self, log_probs, gt_labels, tau):
        ...         return log_probs
        ...
        ...     def fold(self, a, b):
        ...         return a + b
        ...
        ...     def normalize(self, folded, size):
        ...         return folded.softmax(-1)
    """

    @abstractmethod
    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        """Compute the contribution of each of K members.

        Args:
            log_probs (Tensor): Finite log-probabilities (K, B, C).
            gt_labels (Tensor, optional): Valid labels, class indices (B,) or
                probabilities (B, C).
            tau (float): The temperature that softened ``log_probs``.

        Returns:
            Tensor: (K, B, D); D is C, or more if a contribution has more than
            one number a class.
        """

    @abstractmethod
    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Combine two contributions.

        The operation has to be associative and commutative, and must not work
        in place.

        Args:
            a (Tensor): (B, D) or (N, B, D).
            b (Tensor): (B, D) or (N, B, D).

        Returns:
            Tensor: The combination, broadcast.
        """

    @abstractmethod
    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        """Normalize combined contributions to distributions.

        Args:
            folded (Tensor): (B, D) or (N, B, D).
            size (int): The number of members in the set.

        Returns:
            Tensor: (B, C) or (N, B, C); rows sum to 1.
        """

    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        values = self.values(log_probs, gt_labels, tau)
        return self.normalize(reduce(self.fold, values), len(values))

    def _collect_sets(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
        tau: float,
    ) -> torch.Tensor:
        parts, size = [], 0
        if self.include_self or len(students) > 1:
            values = self.values(students, gt_labels, tau)
            size = len(students) - (not self.include_self)
            parts.append(
                reduce(self.fold, values)
                if self.include_self
                else leave_one_out(self.fold, values)
            )
        if teachers is not None:
            # With independent views, each teacher brings its N views at once.
            values = self.values(teachers.flatten(0, -3), gt_labels, tau)
            size += len(teachers)
            parts.append(reduce(self.fold, values.unflatten(0, teachers.shape[:-2])))
        return self.normalize(reduce(self.fold, parts), size)
