# Copyright (c) mmdckd contributors. All rights reserved.
from abc import abstractmethod
from typing import Dict, List, Optional

import torch

from ..options import check_bool, check_temperature, check_weight
from .functional import scale
from .logit_loss import LogitLoss
from .standardize import standardize
from .weight_ramp import build_ramp


class TeacherLoss(LogitLoss):
    """Base of losses with which every student learns only from the teacher.

    A subclass implements its formula in :meth:`compute`, for all students at
    once; the terms of several teachers are averaged. Such a loss needs no
    recorder, and the teacher's logits may come from
    :class:`~mmdckd.engine.hooks.TeacherCacheHook`.

    Args:
        weights (Dict[str, float]): Term to its weight, 0 or more.
        tau (float): Temperature. Defaults to 1.0.
        standardize (bool): Whether logits are standardized first; see
            :func:`~.standardize.standardize`. Defaults to False.
        ramp (dict, optional): Arguments of
            :class:`~.weight_ramp.WeightRamp`, a factor on all terms.
            Defaults to None: constant weights.

    Raises:
        ValueError: If a weight is negative or ``tau`` is not positive.
    """

    needs_teacher = True

    def __init__(
        self,
        weights: Dict[str, float],
        tau: float = 1.0,
        standardize: bool = False,
        ramp: Optional[dict] = None,
    ) -> None:
        super().__init__()
        check_temperature(tau)
        for name, weight in weights.items():
            check_weight(name, weight)
        check_bool('standardize', standardize)
        self.tau = tau
        self.standardize = standardize
        self.ramp = build_ramp(ramp)

    @property
    @abstractmethod
    def weights(self) -> Dict[str, float]:
        """Dict[str, float]: Term to its weight."""

    @abstractmethod
    def compute(
        self,
        students: torch.Tensor,
        teacher: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute the terms of every student, without their weights.

        Args:
            students (Tensor): Logits (N, B, C), in float32 or float64.
            teacher (Tensor): The teacher's logits (B, C), or (N, B, C) with
                independent views; detached.
            gt_labels (Tensor, optional): Class indices (B,), if
                ``needs_labels``.

        Returns:
            Dict[str, Tensor]: Term to its values (N,).
        """

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """List the members that each term learns from; see
        :meth:`BaseCollectiveLoss.sources`."""
        return {term: list(teachers) for term, weight in self.weights.items() if weight}

    def use_finished_peers(self, number: int) -> bool:
        """Return False, as the loss does not use peers; see
        :meth:`BaseCollectiveLoss.use_finished_peers`."""
        return False

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check that there is a teacher; see
        :meth:`BaseCollectiveLoss.check_cohort`."""
        if not num_teachers:
            raise ValueError(
                f'Invalid `teacher`: expected one or more for '
                f'{type(self).__name__}, got None.'
            )

    def check_labels(self, gt_labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Check the labels of a batch, which have to be one class an image if the
        formula needs labels; see :meth:`BaseCollectiveLoss.check_labels`."""
        if self.needs_labels and gt_labels.ndim != 1:
            raise ValueError(
                f'Invalid `gt_labels` for {type(self).__name__}: expected one class '
                f'an image, got probabilities {tuple(gt_labels.shape)}. Train without '
                'mixup, CutMix and several labels, or choose a loss that needs no '
                'labels, such as mmdckd.MLKDLoss.'
            )
        super().check_labels(gt_labels, logits)

    def terms(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        peers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute the terms whose weight is not 0; see
        :meth:`LogitLoss.terms`."""
        assert teachers is not None
        ramp = 1.0 if self.ramp is None else self.ramp()
        of_each = [self.compute(students, teacher, gt_labels) for teacher in teachers]
        return {
            name: ramp * weight * torch.stack([each[name] for each in of_each]).mean(0)
            for name, weight in self.weights.items()
            if weight
        }

    def scale(self, logits: torch.Tensor) -> torch.Tensor:
        r"""Compute :math:`z / \tau` (..., C), standardizing the logits first if
        ``standardize``."""
        if self.standardize:
            logits = standardize(logits)
        return scale(logits, self.tau)

    def extra_repr(self) -> str:
        weights = ', '.join(f'{k}={v}' for k, v in self.weights.items())
        return (
            f'{weights}, tau={self.tau}, standardize={self.standardize}, '
            f'ramp={self.ramp}'
        )
