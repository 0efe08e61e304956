# Copyright (c) mmdckd contributors. All rights reserved.
import math
from abc import abstractmethod
from numbers import Real
from typing import Any, Dict, List, Optional, Tuple

import torch

from .base_collective_loss import BaseCollectiveLoss, Logits
from .cohort_terms import LEAST
from .standardize import standardize
from .temperature import check_temperature
from .weight_ramp import WeightRamp


class TeacherLoss(BaseCollectiveLoss):
    """Base of losses by which every student learns from the teacher alone.

    A subclass writes its formula in :meth:`compute`, for all students at
    once. This class takes logits apart, detaches the teacher's, computes in
    float32 (float64 of float64) under autocast too, and takes the mean of
    the losses by several teachers. It needs no recorder, and the teacher's
    logits may come from
    :class:`~mmdckd.engine.hooks.TeacherCacheHook`.

    Args:
        weights (Dict[str, float]): Term to its weight, 0 or more.
        tau (float): Temperature. Defaults to 1.0.
        standardize (bool): Whether logits are standardised first; see
            :func:`~.standardize.standardize`. Defaults to False.
        ramp (dict, optional): Arguments of
            :class:`~.weight_ramp.WeightRamp`, a factor of all terms.
            Defaults to None, constant weights.

    Raises:
        ValueError: If a weight is negative or ``tau`` is not positive.
    """

    needs_teacher = True
    #: Whether the formula looks at labels.
    needs_labels = False

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
        self.tau = tau
        self.standardize = standardize
        self.ramp = None if ramp is None else WeightRamp(**ramp)

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
            teacher (Tensor): The teacher's (B, C), or (N, B, C) where each
                student has a view of its own; detached.
            gt_labels (Tensor, optional): Class indices (B,), where
                ``needs_labels``.

        Returns:
            Dict[str, Tensor]: Term to its values (N,).
        """

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """Tell whose knowledge is in the terms of one student's loss; see
        :meth:`BaseCollectiveLoss.sources`."""
        return {term: list(teachers) for term, weight in self.weights.items() if weight}

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check, before training, that there is a teacher.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.

        Raises:
            ValueError: If there is none.
        """
        if not num_teachers:
            raise ValueError(
                f'Invalid `teacher`: expected one or more for '
                f'{type(self).__name__}, got None.'
            )

    def check_labels(self, gt_labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Check the labels of a batch, where the formula looks at them.

        Args:
            gt_labels (Tensor): Class indices (B,) or probabilities (B, C).
            logits (Tensor): Those of a student (B, C).

        Raises:
            ValueError: If the loss cannot use them, saying why.
        """
        if not self.needs_labels:
            return
        if gt_labels.ndim != 1:
            raise ValueError(
                f'Invalid labels for {type(self).__name__}: expected one '
                'class of each image, got probabilities '
                f'{tuple(gt_labels.shape)}. Train without mixup, CutMix and '
                'several labels, or choose a loss without labels, such as '
                'mmdckd.MLKDLoss.'
            )
        super().check_labels(gt_labels, logits)

    def forward(
        self,
        preds_S: Logits,
        preds_T: Optional[Logits] = None,
        gt_labels: Optional[torch.Tensor] = None,
        preds_P: Optional[Logits] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss of every student.

        Args:
            preds_S (Tensor or Sequence[Tensor]): Logits of N students,
                (N, B, C), or N times (B, C).
            preds_T (Tensor or Sequence[Tensor], optional): Logits of a
                teacher (B, C), of M teachers, (M, B, C) or M times (B, C), or
                of M teachers on each student's view, (M, N, B, C). Defaults
                to None, which is an error.
            gt_labels (Tensor, optional): Class indices (B,). Defaults to
                None.
            preds_P (Tensor or Sequence[Tensor], optional): Not looked at.
                Defaults to None.

        Returns:
            Dict[str, Tensor]: Term to its values (N,), weights included, of
            the terms whose weight is not 0.

        Raises:
            ValueError: If shapes or labels are wrong, or there is no teacher.
        """
        students = self.split_students(preds_S)
        teachers: Tuple[torch.Tensor, ...] = ()
        if preds_T is not None:
            teachers = self.split_teachers(preds_T, students)
        self.check_cohort(len(students), len(teachers))
        if self.needs_labels:
            if gt_labels is None:
                raise ValueError(
                    f'Invalid labels for {type(self).__name__}: '
                    'expected one class of each image, got None.'
                )
            self.check_labels(gt_labels, students[0])
        ramp = 1.0 if self.ramp is None else self.ramp()
        with torch.autocast(students[0].device.type, enabled=False):
            stacked = _in_full(torch.stack(students))
            terms = [
                self.compute(stacked, _in_full(teacher), gt_labels)
                for teacher in teachers
            ]
        return {
            name: ramp * weight * torch.stack([each[name] for each in terms]).mean(0)
            for name, weight in self.weights.items()
            if weight
        }

    def scale(self, logits: torch.Tensor) -> torch.Tensor:
        r"""Compute :math:`z / \tau`, of standardised logits if
        ``standardize``.

        Args:
            logits (Tensor): z (..., C).

        Returns:
            Tensor: (..., C).
        """
        if self.standardize:
            logits = standardize(logits)
        return logits / self.tau

    def extra_repr(self) -> str:
        weights = ', '.join(f'{k}={v}' for k, v in self.weights.items())
        return (
            f'{weights}, tau={self.tau}, standardize={self.standardize}, '
            f'ramp={self.ramp}'
        )


def check_weight(name: str, weight: Any) -> None:
    """Check the weight of a term.

    Args:
        name (str): Its config key.
        weight (float): The weight.

    Raises:
        ValueError: If it is no finite number, 0 or more.
    """
    if (
        isinstance(weight, bool)
        or not isinstance(weight, Real)
        or not math.isfinite(weight)
        or float(weight) < 0
    ):
        raise ValueError(
            f'Invalid `{name}`: expected a weight, 0 or more, got {weight!r}.'
        )


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    r"""Compute :math:`\log softmax(z)`, finite for classes of logit
    :math:`-\infty` too.

    Args:
        logits (Tensor): z (..., C).

    Returns:
        Tensor: (..., C), at least :data:`~.cohort_terms.LEAST`.
    """
    return logits.log_softmax(-1).clamp_min(LEAST)


def divergence(log_target: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    r"""Compute :math:`KL(P_t \| P)`, the mean over the batch.

    Args:
        log_target (Tensor): Finite :math:`\log P_t` (..., B, C).
        log_probs (Tensor): Finite :math:`\log P` (..., B, C).

    Returns:
        Tensor: In nats, (...).
    """
    kl = (log_target.exp() * (log_target - log_probs)).sum(-1)
    return kl.mean(-1)


def _in_full(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()
