# Copyright (c) mmdckd contributors. All rights reserved.
from abc import ABCMeta, abstractmethod
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import nn

from ..collectors.labels import check_labels
from ..tasks import Classification

#: The name of what every network predicts with.
LOGITS = 'logits'

Logits = Union[torch.Tensor, Sequence[torch.Tensor]]


class BaseCollectiveLoss(nn.Module, metaclass=ABCMeta):
    """A loss on what is recorded of a whole cohort, by default its logits.

    Student i's parameters are to get their gradient from value i of each term
    alone: what a student learns from is detached.

    Attributes:
        inputs (Tuple[str, ...]): What the loss reads: ``'logits'``, or names
            of ``distiller.student_recorders`` and, if it ``needs_teacher``, of
            ``distiller.teacher_recorders``. Defaults to ``('logits',)``.
        task (Classification): What depends on the task of the cohort, such as
            how logits are distributions; one label an image before
            :meth:`use_task`.
    """

    inputs: Tuple[str, ...] = (LOGITS,)
    #: Whether :meth:`take_prototypes` is called before training.
    needs_prototypes: bool = False
    #: Whether it looks at labels.
    needs_labels: bool = False
    #: Whether a value is the mean over the images of what each gives by itself,
    #: so that parts of a batch may be computed apart (``model.folds``).
    by_image: bool = False
    #: The names of the tasks that the loss is for.
    tasks: Tuple[str, ...] = (Classification.name,)
    task: Classification = Classification()

    def use_task(self, task: Classification) -> None:
        """Compute the loss for a task.

        Args:
            task (Classification): The task of the cohort.

        Raises:
            ValueError: If the loss, or a part of it, has no meaning there.
        """
        if task.name not in self.tasks:
            raise ValueError(
                f'{type(self).__name__} has no meaning for task '
                f'{task.name!r}: it is for {self.tasks}. Choose another loss, '
                'such as mmdckd.DCKDLoss.'
            )
        self.task = task

    def use_finished_peers(self, number: int) -> bool:
        """Learn from peers that have finished their training, in place of
        the students that train.

        Args:
            number (int): P, how many there are.

        Returns:
            bool: Whether the loss learns from peers.

        Raises:
            ValueError: If it does, and has no such form; by default.
        """
        raise ValueError(
            f'{type(self).__name__} learns from the students that train, and cannot '
            'learn from `finished_peers`. Choose another loss, such as '
            'mmdckd.DCKDLoss.'
        )

    @property
    def held_out(self) -> bool:
        """bool: Whether it asks peers about images to which they are blind, in
        ``eval`` mode; of which ``model.folds`` tells. By default it does not."""
        return False

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Learn to which fold each student is blind; by default nothing is.

        Args:
            folds (Sequence[int]): The folds of the N students, None of one that
                sees all.
        """

    @property
    def label_users(self) -> List[str]:
        """List[str]: What of the loss asks for labels; empty where it does
        without. By default the loss itself, if it ``needs_labels``."""
        return [type(self).__name__] if self.needs_labels else []

    @property
    @abstractmethod
    def needs_teacher(self) -> bool:
        """bool: Whether the loss looks at the teacher. If no loss does, the
        teacher does not run."""

    @abstractmethod
    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check, before training, that the loss can be computed.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.

        Raises:
            ValueError: If it cannot, saying what would be right.
        """

    def take_prototypes(self, prototypes: List[torch.Tensor]) -> None:
        """Take how classes resemble each other for the teachers. By default
        nothing is taken.

        Args:
            prototypes (List[Tensor]): Of each of M teachers, the weights of
                its last layer (C, D).
        """

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """Tell whose knowledge is in the terms of one student's loss.

        Args:
            index (int): The student, 0 to N - 1.
            peers (List[str]): The names of the N students, or of the copies
                that stand for them as peers.
            teachers (List[str]): The names of the M teachers.

        Returns:
            Dict[str, List[str]]: Term to names, none where it is of the
            student's own prediction alone. By default, one unnamed term of
            all peers, and of all teachers if it needs any.
        """
        others = [name for i, name in enumerate(peers) if i != index]
        return {'': others + (teachers if self.needs_teacher else [])}

    def check_labels(self, gt_labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Check the labels of a batch; the values on the CPU alone.

        Labels that do not sum to 1, as those of an image with several labels,
        are accepted where nothing looks at them.

        Args:
            gt_labels (Tensor): Class indices (B,) or probabilities (B, C).
            logits (Tensor): Those of a student (B, C).

        Raises:
            ValueError: If the loss cannot use them, saying why.
        """
        check_labels(gt_labels, logits.shape[0], logits.shape[1], self.label_users)

    @abstractmethod
    def forward(
        self,
        preds_S: Any,
        preds_T: Optional[Any] = None,
        gt_labels: Optional[torch.Tensor] = None,
        preds_P: Optional[Any] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss of every student.

        Shapes are those of logits. For the name of a recorder in
        :attr:`inputs`, they are features instead: ``preds_S`` and ``preds_P``
        are N tensors, one a student; ``preds_T`` are M tensors, one a
        teacher, or, where students have views of their own, M times N. Their
        first dimension is B; the others are those of the network, and may
        differ between students. With several inputs, each argument is a dict
        from name to this.

        Args:
            preds_S (Tensor or Sequence[Tensor]): Logits of N students,
                (N, B, C), or N times (B, C).
            preds_T (Tensor or Sequence[Tensor], optional): Logits of a
                teacher (B, C), of M teachers, (M, B, C) or M times (B, C), or
                of M teachers on each student's view, (M, N, B, C). Defaults
                to None.
            gt_labels (Tensor, optional): Class indices (B,), -1 for an image
                without labels, or probabilities (B, C), zeros for such an
                image. Defaults to None.
            preds_P (Tensor or Sequence[Tensor], optional): Logits of the N
                students as peers to learn from, of shapes as ``preds_S``,
                where these are others, as of lagged copies. Or, of P finished
                peers on each student's view, (P, N, B, C). Defaults to None,
                ``preds_S``.

        Returns:
            Dict[str, Tensor]: Term to its values (N,), one for each student,
            weights included.
        """

    @staticmethod
    def split_students(preds_S: Logits) -> Tuple[torch.Tensor, ...]:
        """Take the students' logits apart.

        Args:
            preds_S (Tensor or Sequence[Tensor]): (N, B, C), or N times
                (B, C).

        Returns:
            Tuple[Tensor, ...]: N times (B, C).

        Raises:
            ValueError: If there are none, or shapes are others or differ.
            TypeError: If they are no floating-point tensors.
        """
        students = _tensors(preds_S, 'preds_S')
        shapes = [tuple(logits.shape) for logits in students]
        if not students or len(shapes[0]) != 2 or len(set(shapes)) > 1:
            raise ValueError(
                "students' logits have shape (N, B, C), or are N of shape "
                f'(B, C), but `preds_S` has {_describe(preds_S)}.'
            )
        if 0 in shapes[0]:
            raise ValueError(
                '`preds_S` is of no image or no class: students '
                f'have logits {shapes[0]}.'
            )
        return students

    @classmethod
    def split_peers(
        cls, preds_P: Logits, students: Sequence[torch.Tensor]
    ) -> Tuple[torch.Tensor, ...]:
        """Take the logits of the students' peers apart, and detach them.

        Args:
            preds_P (Tensor or Sequence[Tensor]): (N, B, C), or N times
                (B, C); or (P, N, B, C) of finished peers.
            students (Sequence[Tensor]): The students' logits, N times (B, C).

        Returns:
            Tuple[Tensor, ...]: N times (B, C), or P times (N, B, C).

        Raises:
            ValueError: If there are not as many as students, or a shape is
                not the students'.
        """
        peers = _tensors(preds_P, 'preds_P')
        shapes = [tuple(z.shape) for z in peers]
        one = tuple(students[0].shape)
        if shapes != [one] * len(students) and set(shapes) != {(len(students), *one)}:
            raise ValueError(
                'peers and students differ in number or shape: `preds_P` has '
                f'{_describe(preds_P)}, but there are {len(students)} '
                f'students with logits {tuple(students[0].shape)}.'
            )
        return tuple(logits.detach() for logits in peers)

    @staticmethod
    def split_teachers(
        preds_T: Logits, students: Sequence[torch.Tensor]
    ) -> Tuple[torch.Tensor, ...]:
        """Take the teachers' logits apart, and detach them.

        Args:
            preds_T (Tensor or Sequence[Tensor]): (B, C), (M, B, C), M times
                (B, C), or, where students have views of their own,
                (M, N, B, C).
            students (Sequence[Tensor]): The students' logits, N times (B, C).

        Returns:
            Tuple[Tensor, ...]: M times (B, C) or (N, B, C).

        Raises:
            ValueError: If there are none, or a shape is not the students'.
        """
        several = preds_T
        if isinstance(preds_T, torch.Tensor) and preds_T.ndim == 2:
            several = preds_T[None]
        teachers = _tensors(several, 'preds_T')
        shape = tuple(students[0].shape)
        shapes = {tuple(logits.shape) for logits in teachers}
        if shapes not in ({shape}, {(len(students), *shape)}):
            raise ValueError(
                'teacher and students differ in shape: `preds_T` has '
                f"{_describe(preds_T)}, but a student's logits have "
                f'{shape}.'
            )
        return tuple(logits.detach() for logits in teachers)


def _tensors(logits: Logits, name: str) -> Tuple[torch.Tensor, ...]:
    """Take logits apart, and check that they are such."""
    if not isinstance(logits, (torch.Tensor, tuple, list)):
        raise TypeError(
            f'`{name}` is a tensor, or a sequence of tensors, but '
            f'got a {type(logits).__name__}.'
        )
    if isinstance(logits, torch.Tensor) and not logits.ndim:
        raise ValueError(f'`{name}` is one number; logits have a shape.')
    for part in logits:
        if not isinstance(part, torch.Tensor) or not part.is_floating_point():
            found = getattr(part, 'dtype', type(part).__name__)
            raise TypeError(
                f'`{name}` is of logits, which are floating-point '
                f'tensors, but got {found}.'
            )
    return tuple(logits)


def _describe(logits: Logits) -> str:
    if isinstance(logits, torch.Tensor):
        return str(tuple(logits.shape))
    return str([tuple(each.shape) for each in logits])
