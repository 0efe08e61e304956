# Copyright (c) mmdckd contributors. All rights reserved.
from abc import ABCMeta, abstractmethod
from typing import List, Optional, Sequence, Tuple

import torch
from torch import nn

from ..options import check_bool
from ..precision import at_least_float32
from ..tasks import Classification
from .labels import check_labels


class BaseCollector(nn.Module, metaclass=ABCMeta):
    r"""Combines the predictions of the others into one target for each student.

    .. math::
        C_i = \mathrm{collect}(\{\log P_j : j \in S_i\})

    where :math:`P_j` are the softened probabilities of member j and
    :math:`S_i` is the collected set of student i: its peers
    :math:`j \ne i`, with ``include_self`` the student too, with
    ``include_teacher`` every teacher too.

    A collector is a subclass that says how one target is made of the members
    of one set (:meth:`collect`). The sets and the checks are made here. Where
    the target is a fold, :class:`FoldCollector` makes all N of them in O(N).

    Collecting from other students is the idea of Deep Collective Knowledge
    Distillation (arXiv:2304.08878); this formulation is the project's own,
    as the paper's equations were not available.

    Args:
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.

    Raises:
        ValueError: If one is no bool.
    """

    #: Whether it looks at labels, of classes that exclude each other.
    needs_labels = False
    #: Whether it asks peers about images that they are blind to, of which
    #: ``model.folds`` tells.
    held_out = False
    #: The names of the tasks that it has a meaning for; those that look at
    #: labels have one where classes exclude each other.
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
        """Collect for a task.

        Of several labels, what is collected are the distributions of each
        class over two outcomes, that it is there and that it is not.

        Args:
            task (Classification): The task.

        Raises:
            ValueError: If the collector has no meaning there.
        """
        if task.name not in self.tasks or (self.needs_labels and not task.exclusive):
            raise ValueError(
                f'Invalid `collector`: {type(self).__name__} needs classes '
                'that exclude each other, and has no meaning for task '
                f"{task.name!r}. Choose another, such as 'logit_mean'."
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
        """Make one target of K members, all of one set.

        What is in a row follows from that row of the members alone, so that a
        batch may be split between processes.

        Args:
            log_probs (Tensor): Finite log-probabilities (K, B, C).
            gt_labels (Tensor, optional): Checked labels, class indices (B,)
                or probabilities (B, C).
            tau (float): The temperature they are softened with.
            members (List[int]): Who they are, K numbers: the students count
                from 0 to N - 1, the teachers on from there.

        Returns:
            Tensor: (B, C); rows sum to 1.
        """

    def check_members(self, num_members: int) -> None:
        """Check that a set of this size can be collected from.

        Args:
            num_members (int): The number of students and teachers from which
                sets are made; as a ``teacher_collector``, of teachers.

        Raises:
            ValueError: If it cannot, saying what would be right.
        """

    def check_cohort(
        self, num_students: int, num_teachers: int, num_finished: int = 0
    ) -> None:
        """Check that there is someone to collect from.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.
            num_finished (int): P, how many finished peers take the place of
                the students. Defaults to 0, none.

        Raises:
            ValueError: If the teacher is in the set and there is none, if
                the set is empty, or cannot be collected from.
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
                'there is no peer to collect from: `num_students` is '
                f'{num_students} and {type(self).__name__} has neither '
                '`include_self` nor `include_teacher`. Train two students '
                'or more, or set the weight of the collective term to 0.'
            )
        self.check_members(num_students + teachers)

    def sources(
        self, index: int, peers: List[str], teachers: List[str], finished: bool = False
    ) -> List[str]:
        """Tell who is in the set of a student.

        Args:
            index (int): The student, 0 to N - 1.
            peers (List[str]): The names of the N students, or of the copies
                that stand for them as peers; or of the finished peers.
            teachers (List[str]): The names of the M teachers.
            finished (bool): Whether the peers are finished ones, of which no
                one is the student itself. Defaults to False.

        Returns:
            List[str]: Names.
        """
        own = [
            name
            for i, name in enumerate(peers)
            if finished or i != index or self.include_self
        ]
        return own + (list(teachers) if self.include_teacher else [])

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Learn to which fold each student is blind; by default nothing is.

        Args:
            folds (Sequence[int]): The folds of the N students, None of one that
                sees all.
        """

    @torch.no_grad()
    def collect_finished(
        self,
        peer_log_probs: torch.Tensor,
        log_probs: torch.Tensor,
        teacher_log_probs: Optional[torch.Tensor] = None,
        gt_labels: Optional[torch.Tensor] = None,
        tau: float = 1.0,
    ) -> torch.Tensor:
        """Collect from peers that have finished their training, in place of
        the students that train.

        Args:
            peer_log_probs (Tensor): Those of P peers on each student's view
                (P, N, B, C).
            log_probs (Tensor): Those of the students (N, B, C), which are in
                their sets with ``include_self``.
            teacher_log_probs (Tensor, optional): As in :meth:`forward`.
                Defaults to None.
            gt_labels (Tensor, optional): As in :meth:`forward`. Defaults to
                None.
            tau (float): As in :meth:`forward`. Defaults to 1.0.

        Returns:
            Tensor: Targets (N, B, C), without gradient; rows sum to 1.
        """
        members = [peer_log_probs]
        if self.include_self:
            members.append(log_probs.unsqueeze(0))
        if self.include_teacher and teacher_log_probs is not None:
            teachers = _stack_teachers(teacher_log_probs, log_probs)
            if teachers.ndim == log_probs.ndim:
                teachers = teachers.unsqueeze(1).expand(-1, len(log_probs), -1, -1)
            members.append(teachers)
        return self.collect_all(torch.cat(members), gt_labels, tau)

    @torch.no_grad()
    def collect_all(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        """Make one target of all members, as of several teachers.

        Args:
            log_probs (Tensor): Finite log-probabilities (K, B, C), or
                (K, N, B, C) on N views.
            gt_labels (Tensor, optional): Checked labels, class indices (B,)
                or probabilities (B, C).
            tau (float): The temperature they are softened with.

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
            tau (float): The temperature all are softened with, by which a
                collector that judges members finds what they predict
                unsoftened. Defaults to 1.0.

        Returns:
            Tensor: Targets (N, B, C) in float32 (float64 for float64),
            without gradient; rows sum to 1.

        Raises:
            ValueError: If the set is empty, lacks its teacher, or shapes or
                labels are wrong.
        """
        if log_probs is None:
            assert probs is not None, 'neither `probs` nor `log_probs`'
            probs = at_least_float32(probs)
            log_probs = probs.clamp_min(torch.finfo(probs.dtype).tiny).log()
        log_probs = at_least_float32(log_probs)
        if log_probs.ndim != 3:
            raise ValueError(
                'probabilities of the students have shape '
                f'(N, B, C), but got {tuple(log_probs.shape)}.'
            )
        num_students, batch_size, num_classes = log_probs.shape
        if gt_labels is not None:
            users = [type(self).__name__] if self.needs_labels else []
            check_labels(gt_labels, batch_size, num_classes, users)
        num_teachers = 0
        if teacher_log_probs is not None:
            teacher_log_probs = _stack_teachers(teacher_log_probs, log_probs)
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
        """Make the target of every set.

        Args:
            students (Tensor): (N, B, C).
            teachers (Tensor, optional): Those in the sets, (M, B, C) or
                (M, N, B, C).
            gt_labels (Tensor, optional): (B,) or (B, C).
            tau (float): Temperature.

        Returns:
            Tensor: (N, B, C), or (B, C) where all sets are one.
        """
        num_students = len(students)
        views = teachers is not None and teachers.ndim == 4
        targets = []
        for i in range(num_students):
            members = [j for j in range(num_students) if j != i or self.include_self]
            # Not `students[members]`, whose list would be copied to a GPU.
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


def _stack_teachers(teachers: torch.Tensor, students: torch.Tensor) -> torch.Tensor:
    """Teachers as (M, B, C) or (M, N, B, C)."""
    if teachers.ndim == 2:
        teachers = teachers.unsqueeze(0)
    if teachers.shape[1:] not in (students.shape[1:], students.shape):
        raise ValueError(
            'teacher and students differ in shape: '
            f'{tuple(teachers.shape[1:])} against {tuple(students.shape[1:])}.'
        )
    return at_least_float32(teachers)
