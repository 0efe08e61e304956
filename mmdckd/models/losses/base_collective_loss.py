# Copyright (c) mmdckd contributors. All rights reserved.
from abc import ABCMeta, abstractmethod
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import nn

from ..collectors.labels import check_labels
from ..tasks import Classification

#: The name under which a network's logits are recorded.
LOGITS = 'logits'

Logits = Union[torch.Tensor, Sequence[torch.Tensor]]


class BaseCollectiveLoss(nn.Module, metaclass=ABCMeta):
    """Base of losses on the outputs of a whole cohort, by default its logits.

    Student i may get gradients only from value i of each term, so a subclass
    detaches its targets.

    Attributes:
        inputs (Tuple[str, ...]): The inputs of the loss: ``'logits'``, or names
            of ``distiller.student_recorders`` and, if it ``needs_teacher``, of
            ``distiller.teacher_recorders``. Defaults to ``('logits',)``.
        task (Classification): The task of the cohort, which defines for example
            how logits become distributions. Single-label classification until
            :meth:`use_task` is called.
    """

    inputs: Tuple[str, ...] = (LOGITS,)
    #: Whether :meth:`take_prototypes` is called before training.
    needs_prototypes: bool = False
    #: Whether it needs labels.
    needs_labels: bool = False
    #: Whether a value is a mean of independent values of the images, so that
    #: parts of a batch can be computed separately (``model.folds``).
    by_image: bool = False
    #: The names of the tasks that the loss supports.
    tasks: Tuple[str, ...] = (Classification.name,)
    task: Classification = Classification()

    def use_task(self, task: Classification) -> None:
        """Set the task of the cohort.

        Args:
            task (Classification): The task.

        Raises:
            ValueError: If the loss, or a part of it, does not support the task.
        """
        if task.name not in self.tasks:
            raise ValueError(
                f'Invalid `type`: expected a loss for the task {task.name!r}, such '
                f'as mmdckd.DCKDLoss, got {type(self).__name__}, which supports '
                f'{self.tasks}.'
            )
        self.task = task

    def use_finished_peers(self, number: int) -> bool:
        """Learn from finished peers instead of the students in training.

        Args:
            number (int): P, the number of finished peers.

        Returns:
            bool: Whether the loss learns from peers.

        Raises:
            ValueError: If the loss learns from peers but does not support
                finished ones, as by default.
        """
        raise ValueError(
            'Invalid `type`: expected a loss that can learn from `finished_peers`, '
            f'such as mmdckd.DCKDLoss, got {type(self).__name__}.'
        )

    @property
    def held_out(self) -> bool:
        """bool: Whether the loss uses predictions of peers in ``eval`` mode on
        images to which they are blind (``model.folds``). Defaults to False."""
        return False

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Set the fold to which each student is blind; unused by default.

        Args:
            folds (Sequence[int]): The folds of the N students; None for a
                student that sees all images.
        """

    @property
    def label_users(self) -> List[str]:
        """List[str]: The parts of the loss that need labels; by default the
        loss itself, if it ``needs_labels``."""
        return [type(self).__name__] if self.needs_labels else []

    @property
    @abstractmethod
    def needs_teacher(self) -> bool:
        """bool: Whether the loss uses the teacher. If no loss does, the teacher
        does not run."""

    @abstractmethod
    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check, before training, that the loss fits the cohort.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.

        Raises:
            ValueError: If it does not fit; the message says how to fix it.
        """

    def take_prototypes(self, prototypes: List[torch.Tensor]) -> None:
        """Receive the teachers' class prototypes; unused by default.

        Args:
            prototypes (List[Tensor]): The weights (C, D) of the last layer of
                each of the M teachers.
        """

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """List the members that each term of a student's loss learns from.

        Args:
            index (int): The student, 0 to N - 1.
            peers (List[str]): The names of the N students, or of the copies
                that replace them as peers.
            teachers (List[str]): The names of the M teachers.

        Returns:
            Dict[str, List[str]]: Term to names; empty for a term that uses the
            student's own prediction only. By default, one unnamed term of all
            peers and, if ``needs_teacher``, all teachers.
        """
        others = [name for i, name in enumerate(peers) if i != index]
        return {'': others + (teachers if self.needs_teacher else [])}

    def check_labels(self, gt_labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Check the labels of a batch; their values only on the CPU.

        Labels that do not sum to 1, as those of an image with several labels,
        are accepted if nothing needs labels.

        Args:
            gt_labels (Tensor): Class indices (B,) or probabilities (B, C).
            logits (Tensor): The logits (B, C) of a student.

        Raises:
            ValueError: If the loss cannot use the labels.
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

        The shapes below are those of logits. If :attr:`inputs` names a recorder,
        the arguments are features: ``preds_S`` and ``preds_P`` are N tensors,
        one a student; ``preds_T`` is M tensors, one a teacher, or M times N if
        students have independent views. The first dimension of a feature is B;
        the others may differ between networks. With several inputs, each
        argument is a dict from name to tensors.

        Args:
            preds_S (Tensor or Sequence[Tensor]): Logits of N students,
                (N, B, C), or N times (B, C).
            preds_T (Tensor or Sequence[Tensor], optional): Logits of a
                teacher (B, C), of M teachers, (M, B, C) or M times (B, C), or
                of M teachers on each student's view, (M, N, B, C). Defaults
                to None.
            gt_labels (Tensor, optional): Class indices (B,), with -1 for an
                image without a label, or probabilities (B, C), with zeros for
                such an image. Defaults to None.
            preds_P (Tensor or Sequence[Tensor], optional): Logits of the peers:
                of N lagged copies in the shape of ``preds_S``, or of P finished
                peers on each student's view, (P, N, B, C). Defaults to None:
                the students are the peers.

        Returns:
            Dict[str, Tensor]: Term to its values (N,), one for each student,
            weights included.
        """

    @staticmethod
    def split_students(preds_S: Logits) -> Tuple[torch.Tensor, ...]:
        """Split the students' logits into one tensor a student.

        Args:
            preds_S (Tensor or Sequence[Tensor]): (N, B, C), or N times
                (B, C).

        Returns:
            Tuple[Tensor, ...]: N times (B, C).

        Raises:
            ValueError: If there are none, or shapes are invalid or differ.
            TypeError: If they are not floating-point tensors.
        """
        students = _tensors(preds_S, 'preds_S')
        shapes = [tuple(logits.shape) for logits in students]
        if not students or len(shapes[0]) != 2 or len(set(shapes)) > 1:
            raise ValueError(
                'Invalid `preds_S`: expected logits of shape (N, B, C), or N of shape '
                f'(B, C), got {_describe(preds_S)}.'
            )
        if 0 in shapes[0]:
            raise ValueError(
                'Invalid `preds_S`: expected at least one image and one class, got '
                f'logits of shape {shapes[0]}.'
            )
        return students

    @classmethod
    def split_peers(
        cls, preds_P: Logits, students: Sequence[torch.Tensor]
    ) -> Tuple[torch.Tensor, ...]:
        """Split the logits of the peers into one tensor each, and detach them.

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
                f'Invalid `preds_P`: expected {len(students)} peers with logits of '
                f'shape {tuple(students[0].shape)}, as the students have, got '
                f'{_describe(preds_P)}.'
            )
        return tuple(logits.detach() for logits in peers)

    @staticmethod
    def split_teachers(
        preds_T: Logits, students: Sequence[torch.Tensor]
    ) -> Tuple[torch.Tensor, ...]:
        """Split the teachers' logits into one tensor each, and detach them.

        Args:
            preds_T (Tensor or Sequence[Tensor]): (B, C), (M, B, C), M times
                (B, C), or, with independent views, (M, N, B, C).
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
                f"Invalid `preds_T`: expected logits of the students' shape, {shape}, "
                f'got {_describe(preds_T)}.'
            )
        return tuple(logits.detach() for logits in teachers)


def _tensors(logits: Logits, name: str) -> Tuple[torch.Tensor, ...]:
    """Split logits into a tuple of tensors, and check their type."""
    if not isinstance(logits, (torch.Tensor, tuple, list)):
        raise TypeError(
            f'Invalid `{name}`: expected a tensor or a sequence of tensors, got a '
            f'{type(logits).__name__}.'
        )
    if isinstance(logits, torch.Tensor) and not logits.ndim:
        raise ValueError(f'Invalid `{name}`: expected logits, got one number.')
    for part in logits:
        if not isinstance(part, torch.Tensor) or not part.is_floating_point():
            found = getattr(part, 'dtype', type(part).__name__)
            raise TypeError(
                f'Invalid `{name}`: expected floating-point tensors, got {found}.'
            )
    return tuple(logits)


def _describe(logits: Logits) -> str:
    if isinstance(logits, torch.Tensor):
        return str(tuple(logits.shape))
    return str([tuple(each.shape) for each in logits])
