# Copyright (c) mmdckd contributors. All rights reserved.
from abc import ABCMeta, abstractmethod
from typing import List, Optional, Sequence, Tuple

import torch
from torch import nn

from ..options import check_bool
from ..precision import at_least_float32
from ..tasks import Classification
from .labels import check_labels
from .stack_teachers import stack_teachers


class BaseCollector(nn.Module, metaclass=ABCMeta):
    r"""Combines the predictions of others into one target for each student.

    .. math::
        C_i = \mathrm{collect}(\{\log P_j : j \in S_i\})

    where :math:`P_j` are the softened probabilities of member j and
    :math:`S_i` is the set that student i learns from: its peers
    :math:`j \ne i`, the student itself with ``include_self``, and all teachers
    with ``include_teacher``.

    A subclass implements :meth:`collect`, which computes one target from the
    members of one set. This class builds the sets and checks the arguments. If
    the target is a fold over the members, :class:`FoldCollector` computes all N
    targets in O(N).

    Combining the predictions of other students is the idea of Deep Collective
    Knowledge Distillation (arXiv:2304.08878); this formulation is the project's
    own, as the paper's equations were not available.

    Args:
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.

    Raises:
        ValueError: If an argument is not a bool.
    """

    #: Whether it needs labels, one class an image.
    needs_labels = False
    #: Whether it uses predictions on images that a peer does not train on
    #: (``model.folds``).
    held_out = False
    #: Whether it treats members differently, by their numbers.
    by_member = False
    #: Whether it compares the students in training, whatever its set.
    compares_students = False
    #: The names of the tasks that it supports.
    tasks: Tuple[str, ...] = ('classification', 'multi_label')
    task: Classification = Classification()

    def __init__(
        self, include_self: bool = False, include_teacher: bool = False
    ) -> None:
        super().__init__()
        check_bool('include_self', include_self)
        check_bool('include_teacher', include_teacher)
        self.include_self = include_self
        self.include_teacher = include_teacher

    def use_task(self, task: Classification) -> None:
        """Set the task of the cohort.

        In multi-label classification, each class is a distribution over two
        outcomes, present and absent, and these are collected.

        Args:
            task (Classification): The task.

        Raises:
            ValueError: If the collector does not support the task.
        """
        if task.name not in self.tasks or (self.needs_labels and not task.exclusive):
            raise ValueError(
                f'Invalid `collector`: expected one that supports the task '
                f"{task.name!r}, such as 'logit_mean', got {type(self).__name__}, "
                'which supports one class an image.'
            )
        self.task = task

    @abstractmethod
    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        """Compute the target of one set from its K members.

        Each row depends on that row of the members only, so that a batch can be
        split between processes.

        Args:
            log_probs (Tensor): Finite log-probabilities (K, B, C).
            gt_labels (Tensor, optional): Valid labels, class indices (B,) or
                probabilities (B, C).
            tau (float): The temperature that softened ``log_probs``.
            members (List[int]): The K members' numbers: students are 0 to
                N - 1, teachers follow from N on.

        Returns:
            Tensor: (B, C); rows sum to 1.
        """

    def check_members(self, num_members: int) -> None:
        """Check that the collector fits the number of members.

        Args:
            num_members (int): The number of students and teachers in the sets;
                for a ``teacher_collector``, the number of teachers.

        Raises:
            ValueError: If it does not fit; the message says how to fix it.
        """

    def check_cohort(
        self, num_students: int, num_teachers: int, num_finished: int = 0
    ) -> None:
        """Check that every student has someone to learn from.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.
            num_finished (int): P, the number of finished peers that replace the
                students. Defaults to 0: the students are the peers.

        Raises:
            ValueError: If a set includes a teacher that does not exist, is
                empty, or does not fit the collector.
        """
        if self.include_teacher and not num_teachers:
            raise ValueError(
                f'Invalid `include_teacher` of {type(self).__name__}: expected '
                'False without a teacher, got True. Set it to False, or give a '
                'teacher.'
            )
        teachers = num_teachers if self.include_teacher else 0
        if num_finished:
            self.check_members(num_finished + self.include_self + teachers)
            return
        if not num_students - (not self.include_self) + teachers:
            raise ValueError(
                'Invalid `num_students`: expected 2 or more, as '
                f'{type(self).__name__} has neither `include_self` nor '
                f'`include_teacher` and needs peers, got {num_students}. Train more '
                'students, or set the weight of the collective term to 0.'
            )
        self.check_members(num_students + teachers)

    def sources(
        self, index: int, peers: List[str], teachers: List[str], finished: bool = False
    ) -> List[str]:
        """List the members of a student's set.

        Args:
            index (int): The student, 0 to N - 1.
            peers (List[str]): The names of the N students, of the copies that
                replace them as peers, or of the finished peers.
            teachers (List[str]): The names of the M teachers.
            finished (bool): Whether the peers are finished peers, none of which
                is the student itself. Defaults to False.

        Returns:
            List[str]: The names of the members.
        """
        own = [
            name
            for i, name in enumerate(peers)
            if finished or i != index or self.include_self
        ]
        return own + (list(teachers) if self.include_teacher else [])

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Set the fold to which each student is blind; unused by default.

        Args:
            folds (Sequence[int]): The folds of the N students; None for a
                student that sees all images.

        Raises:
            ValueError: If the collector treats members differently, as the
                students that see an image differ by fold.
        """
        if self.by_member:
            raise ValueError(
                'Invalid `collector`: expected one that treats all peers alike, as '
                f'`model.folds` gives images other peers, got {type(self).__name__}.'
            )

    @torch.no_grad()
    def collect_finished(
        self,
        peer_log_probs: torch.Tensor,
        log_probs: torch.Tensor,
        teacher_log_probs: Optional[torch.Tensor] = None,
        gt_labels: Optional[torch.Tensor] = None,
        tau: float = 1.0,
    ) -> torch.Tensor:
        """Compute the targets from finished peers instead of the students in
        training.

        Args:
            peer_log_probs (Tensor): Log-probabilities of P peers on each
                student's view, (P, N, B, C).
            log_probs (Tensor): Log-probabilities of the students, (N, B, C);
                used with ``include_self``.
            teacher_log_probs (Tensor, optional): See :meth:`forward`. Defaults
                to None.
            gt_labels (Tensor, optional): See :meth:`forward`. Defaults to None.
            tau (float): See :meth:`forward`. Defaults to 1.0.

        Returns:
            Tensor: Targets (N, B, C), without gradient; rows sum to 1.
        """
        members = [peer_log_probs]
        if self.include_self:
            members.append(log_probs.unsqueeze(0))
        if self.include_teacher and teacher_log_probs is not None:
            teachers = stack_teachers(teacher_log_probs, log_probs)
            if teachers.ndim == log_probs.ndim:
                teachers = teachers.unsqueeze(1).expand(-1, len(log_probs), -1, -1)
            members.append(teachers)
        return self.collect_all(torch.cat(members), gt_labels, tau)

    @torch.no_grad()
    def collect_all(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        """Compute one target from all members, for example several teachers.

        Args:
            log_probs (Tensor): Finite log-probabilities (K, B, C), or
                (K, N, B, C) on N views.
            gt_labels (Tensor, optional): Valid labels, class indices (B,) or
                probabilities (B, C).
            tau (float): The temperature that softened ``log_probs``.

        Returns:
            Tensor: (B, C) or (N, B, C), without gradient.
        """
        views = log_probs.shape[1:-2]
        if views and gt_labels is not None:
            gt_labels = gt_labels.repeat(*views, *[1] * (gt_labels.ndim - 1))
        members = list(range(len(log_probs)))
        target = self.collect(log_probs.flatten(1, -2), gt_labels, tau, members)
        return target.unflatten(0, log_probs.shape[1:-1])

    @torch.no_grad()
    def forward(
        self,
        probs: Optional[torch.Tensor],
        log_probs: Optional[torch.Tensor] = None,
        teacher_log_probs: Optional[torch.Tensor] = None,
        gt_labels: Optional[torch.Tensor] = None,
        tau: float = 1.0,
    ) -> torch.Tensor:
        """Compute the targets of N students.

        Args:
            probs (Tensor, optional): The students' softened probabilities
                (N, B, C); unused if ``log_probs`` is given.
            log_probs (Tensor, optional): Their finite logarithms. Defaults to
                None: the logarithm of ``probs``, clamped to the smallest normal
                number.
            teacher_log_probs (Tensor, optional): Log-probabilities of a teacher
                (B, C), of M teachers (M, B, C), or of M teachers on each
                student's view (M, N, B, C). Defaults to None.
            gt_labels (Tensor, optional): Class indices (B,) or probabilities
                (B, C). Defaults to None.
            tau (float): The temperature that softened all predictions;
                collectors that compare members with the labels undo it.
                Defaults to 1.0.

        Returns:
            Tensor: Targets (N, B, C) in float32 (float64 for float64),
            without gradient; rows sum to 1.

        Raises:
            ValueError: If a set is empty or lacks its teacher, or shapes or
                labels are invalid.
        """
        if log_probs is None:
            assert probs is not None, 'expected `probs` or `log_probs`'
            probs = at_least_float32(probs)
            log_probs = probs.clamp_min(torch.finfo(probs.dtype).tiny).log()
        log_probs = at_least_float32(log_probs)
        if log_probs.ndim != 3:
            raise ValueError(
                'Invalid `log_probs`: expected probabilities of shape (N, B, C), '
                f'got shape {tuple(log_probs.shape)}.'
            )
        num_students, batch_size, num_classes = log_probs.shape
        if gt_labels is not None:
            users = [type(self).__name__] if self.needs_labels else []
            check_labels(gt_labels, batch_size, num_classes, users)
        num_teachers = 0
        if teacher_log_probs is not None:
            teacher_log_probs = stack_teachers(teacher_log_probs, log_probs)
            num_teachers = len(teacher_log_probs)
        self.check_cohort(num_students, num_teachers)
        teachers = teacher_log_probs if self.include_teacher else None
        targets = self._collect_sets(log_probs, teachers, gt_labels, tau)
        return targets.expand_as(log_probs)

    def _collect_sets(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
        tau: float,
    ) -> torch.Tensor:
        """Compute the target of every set.

        Args:
            students (Tensor): (N, B, C).
            teachers (Tensor, optional): The teachers in the sets, (M, B, C) or
                (M, N, B, C).
            gt_labels (Tensor, optional): (B,) or (B, C).
            tau (float): Temperature.

        Returns:
            Tensor: (N, B, C), or (B, C) if all sets are the same.
        """
        num_students = len(students)
        views = teachers is not None and teachers.ndim == 4
        targets = []
        for i in range(num_students):
            members = [j for j in range(num_students) if j != i or self.include_self]
            # `students[members]` would copy the list of indices to the GPU.
            parts = [students[j : j + 1] for j in members]
            if teachers is not None:
                parts.append(teachers[:, i] if views else teachers)
                members += range(num_students, num_students + len(teachers))
            target = self.collect(torch.cat(parts), gt_labels, tau, members)
            if self.include_self and not views:
                return target
            targets.append(target)
        return torch.stack(targets)

    def extra_repr(self) -> str:
        return (
            f'include_self={self.include_self}, include_teacher={self.include_teacher}'
        )
