# Copyright (c) mmdckd contributors. All rights reserved.
from abc import ABCMeta, abstractmethod
from functools import reduce
from typing import Optional

import torch
from torch import nn

from .labels import check_labels
from .leave_one_out import leave_one_out


class BaseCollector(nn.Module, metaclass=ABCMeta):
    r"""Collects what the others know into one target for each student.

    .. math::
        C_i = \mathrm{normalise}\Big(\mathop{\mathrm{fold}}_{j \in S_i}
              \mathrm{values}(\log P_j),\ |S_i|\Big)

    where :math:`P_j` are the softened probabilities of a member and
    :math:`S_i` is the collected set of student i: its peers
    :math:`j \ne i`, with ``include_self`` the student too, with
    ``include_teacher`` every teacher too. All N targets cost O(N).

    A collector is a subclass that says what a member brings
    (:meth:`values`), how two contributions become one (:meth:`fold`) and how
    the result becomes a distribution (:meth:`normalise`). The set, the checks
    and leaving one out are done here.

    Collecting from other students is the idea of Deep Collective Knowledge
    Distillation (arXiv:2304.08878); this formulation is the project's own,
    as the paper's equations were not available.

    Args:
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.

    Examples:
        >>> @MODELS.register_module()
        ... class ProductCollector(BaseCollector):
        ...
        ...     def values(self, log_probs, gt_labels):
        ...         return log_probs
        ...
        ...     def fold(self, a, b):
        ...         return a + b
        ...
        ...     def normalise(self, folded, size):
        ...         return folded.softmax(-1)
    """

    def __init__(self,
                 include_self: bool = False,
                 include_teacher: bool = False) -> None:
        super().__init__()
        self.include_self = include_self
        self.include_teacher = include_teacher

    @abstractmethod
    def values(self, log_probs: torch.Tensor,
               gt_labels: Optional[torch.Tensor]) -> torch.Tensor:
        """What each of K members brings.

        Args:
            log_probs (Tensor): Finite log-probabilities (K, B, C).
            gt_labels (Tensor, optional): Checked labels, class indices (B,)
                or probabilities (B, C).

        Returns:
            Tensor: (K, B, C).
        """

    @abstractmethod
    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Make one contribution of two.

        Args:
            a (Tensor): (B, C) or (N, B, C).
            b (Tensor): (B, C) or (N, B, C).

        Returns:
            Tensor: Their combination, broadcast. Associative and
            commutative, and not in place.
        """

    @abstractmethod
    def normalise(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        """Make distributions of what was folded.

        Args:
            folded (Tensor): (B, C) or (N, B, C).
            size (int): The number of members in the set.

        Returns:
            Tensor: Of the same shape; rows sum to 1.
        """

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check that there is someone to collect from.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.

        Raises:
            ValueError: If the teacher is in the set and there is none, or if
                the set is empty.
        """
        if self.include_teacher and not num_teachers:
            raise ValueError(
                f'{type(self).__name__} has `include_teacher=True`, but '
                'there is no teacher: set it to False, or give a teacher.')
        if not self._set_size(num_students, num_teachers):
            raise ValueError(
                'there is no peer to collect from: `num_students` is '
                f'{num_students} and {type(self).__name__} has neither '
                '`include_self` nor `include_teacher`. Train two students '
                'or more, or set the weight of the collective term to 0.')

    @torch.no_grad()
    def forward(self,
                probs: Optional[torch.Tensor],
                log_probs: Optional[torch.Tensor] = None,
                teacher_log_probs: Optional[torch.Tensor] = None,
                gt_labels: Optional[torch.Tensor] = None) -> torch.Tensor:
        """Collect a target for each of N students.

        Args:
            probs (Tensor, optional): The students' softened probabilities
                (N, B, C); unused, and may be None, where ``log_probs`` is
                given.
            log_probs (Tensor, optional): Their logarithms, finite. Defaults
                to None, the logarithm of ``probs``, where a probability
                below the smallest normal number counts as that number.
            teacher_log_probs (Tensor, optional): Those of a teacher (B, C),
                of M teachers (M, B, C), or of M teachers on each student's
                view (M, N, B, C). Defaults to None.
            gt_labels (Tensor, optional): Class indices (B,) or probabilities
                (B, C). Defaults to None.

        Returns:
            Tensor: Targets (N, B, C) in float32 (float64 for float64),
            without gradient; rows sum to 1.

        Raises:
            ValueError: If the set is empty, lacks its teacher, or shapes or
                labels are wrong.
        """
        if log_probs is None:
            probs = _at_least_float32(probs)
            log_probs = probs.clamp_min(torch.finfo(probs.dtype).tiny).log()
        log_probs = _at_least_float32(log_probs)
        if log_probs.ndim != 3:
            raise ValueError('probabilities of the students have shape '
                             f'(N, B, C), but got {tuple(log_probs.shape)}.')
        num_students, batch_size, num_classes = log_probs.shape
        if gt_labels is not None:
            check_labels(gt_labels, batch_size, num_classes)
        num_teachers = 0
        if teacher_log_probs is not None:
            teacher_log_probs = _at_least_float32(teacher_log_probs)
            if teacher_log_probs.ndim == 2:
                teacher_log_probs = teacher_log_probs.unsqueeze(0)
            if tuple(teacher_log_probs.shape[1:]) not in (tuple(
                    log_probs.shape[1:]), tuple(log_probs.shape)):
                raise ValueError(
                    'teacher and students differ in shape: '
                    f'{tuple(teacher_log_probs.shape[1:])} against '
                    f'{tuple(log_probs.shape[1:])}.')
            num_teachers = len(teacher_log_probs)
        self.check_cohort(num_students, num_teachers)

        parts = []
        if self.include_self:
            parts.append(reduce(self.fold, self.values(log_probs, gt_labels)))
        elif num_students > 1:
            parts.append(
                leave_one_out(self.fold, self.values(log_probs, gt_labels)))
        if self.include_teacher:
            brought = self.values(teacher_log_probs.flatten(0, -3), gt_labels)
            parts.append(reduce(self.fold, brought.view_as(teacher_log_probs)))
        size = self._set_size(num_students, num_teachers)
        targets = self.normalise(reduce(self.fold, parts), size)
        return targets.expand_as(log_probs)

    def _set_size(self, num_students: int, num_teachers: int) -> int:
        peers = num_students if self.include_self else num_students - 1
        return peers + num_teachers * self.include_teacher

    def extra_repr(self) -> str:
        return (f'include_self={self.include_self}, '
                f'include_teacher={self.include_teacher}')


def _at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
