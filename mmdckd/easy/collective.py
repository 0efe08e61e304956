# Copyright (c) mmdckd contributors. All rights reserved.
"""Collective distillation in your own training loop."""

from typing import Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Union

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmdckd.errors import invalid
from mmdckd.models.cohorts.student_cohort import check_distinct
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.losses.base_collective_loss import LOGITS
from mmdckd.names import COLLECTIVE, STUDENT, check_name, name_losses, student_names


class CollectiveLosses(NamedTuple):
    """The losses of one batch.

    Attributes:
        total (Tensor): The sum of all terms; call ``backward()`` on it.
        terms (Dict[str, Tensor]): All terms, detached:
            ``student.<name>.loss``, a student's task loss, and
            ``collective.<name>.<term>``.
        logits (Dict[str, Tensor]): The logits (B, C) of each student,
            detached.
    """

    total: Tensor
    terms: Dict[str, Tensor]
    logits: Dict[str, Tensor]


class Collective(nn.Module):
    r"""A cohort of students for your own training loop.

    .. math:: L = \sum_i \bigl(L_{task}(z_i, y) + L_{collective, i}\bigr)

    The students are plain networks: build the optimizer from
    ``collective.parameters()``, and use a trained student on its own. To resume,
    build the same object again and load its ``state_dict()``, which holds the
    students, and the optimizer's. It works under ``torch.autocast``. Lagged
    peers need a config and MMEngine's runner.

    Args:
        students (Sequence[nn.Module] | Mapping[str, nn.Module]): Networks whose
            forward takes images and returns logits (B, C). They must start from
            different weights, or have dropout or drop path. Without names they are
            called ``student0``, ``student1``, ...
        teacher (nn.Module, optional): A trained network with the same classes.
            It is set to evaluation mode, runs without gradient, and is in
            neither ``parameters()`` nor ``state_dict()``, but follows ``to()``.
            Defaults to None: the students learn only from each other.
        loss (nn.Module, optional): A collective loss on logits. Defaults to None:
            :class:`~mmdckd.models.losses.DCKDLoss` with its defaults, and with
            ``alpha=0`` if there is no teacher.
        task_loss (Callable): Computes a loss, one number, from logits and labels.
            Defaults to the cross-entropy.

    Raises:
        TypeError: If a student or the teacher is not an ``nn.Module``, the students
            are no list or dict, or ``loss`` is no loss.
        ValueError: If there are no students, one is given twice, or the loss needs
            a teacher and there is none, folds, or more than logits.

    Examples:
        >>> collective = Collective([make_net() for _ in range(4)], teacher)
        >>> optimizer = torch.optim.SGD(collective.parameters(), lr=0.1)
        >>> for images, labels in loader:
        ...     losses = collective(images, labels)
        ...     optimizer.zero_grad()
        ...     losses.total.backward()
        ...     optimizer.step()
    """

    def __init__(
        self,
        students: Union[Sequence[nn.Module], Mapping[str, nn.Module]],
        teacher: Optional[nn.Module] = None,
        loss: Optional[nn.Module] = None,
        task_loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    ) -> None:
        super().__init__()
        if isinstance(students, (Sequence, nn.ModuleList)):
            students = dict(zip(student_names(len(students)), students))
        if not isinstance(students, Mapping):
            raise TypeError(
                'Invalid `students`: expected a list of networks, or a dict from name '
                f'to network, got a {type(students).__name__}.'
            )
        if not students:
            raise ValueError('Invalid `students`: expected one or more, got none.')
        named = dict(students) if teacher is None else dict(students, teacher=teacher)
        for name, network in named.items():
            if not isinstance(network, nn.Module):
                raise TypeError(
                    f'Invalid `{name}`: expected an nn.Module, got a '
                    f'{type(network).__name__}.'
                )
        if len({id(network) for network in named.values()}) < len(named):
            raise ValueError(
                'Invalid `students`: expected a different network for each, got the '
                'same one twice. Did you mean [make() for _ in range(N)]?'
            )
        for name in students:
            check_name(name, 'students')
        self.students = nn.ModuleDict(students)
        self._teacher = [] if teacher is None else [teacher.eval()]
        if loss is None:
            loss = DCKDLoss() if teacher is not None else DCKDLoss(alpha=0.0)
        _check_loss(loss)
        check_cohort = getattr(loss, 'check_cohort', None)
        if check_cohort is not None:
            check_cohort(len(students), len(self._teacher))
        self.loss = loss
        self.task_loss = task_loss
        self._is_distinct = False

    def forward(
        self, images: Tensor, labels: Optional[Tensor] = None
    ) -> CollectiveLosses:
        """Compute the losses of a batch.

        Args:
            images (Tensor): The input of all networks, (B, ...).
            labels (Tensor, optional): Class indices (B,), or probabilities
                (B, C). Defaults to None, which means no task loss.

        Returns:
            CollectiveLosses: The losses.

        Raises:
            TypeError: If a network does not return logits of shape (B, C).
            ValueError: If the networks predict different numbers of classes, two
                students start equal, or the task loss is not one number.
        """
        logits = {
            name: self._logits(name, network, images)
            for name, network in self.students.items()
        }
        if not self._is_distinct:  # lazy layers have their weights now
            check_distinct(self.students.items(), {})
            self._is_distinct = True
        taught = None
        for teacher in self._teacher:
            with torch.no_grad():
                taught = self._logits('teacher', teacher.eval(), images)
        _check_classes(logits if taught is None else dict(logits, teacher=taught))
        terms: Dict[str, Tensor] = {}
        if labels is not None:
            for name, scores in logits.items():
                task = self.task_loss(scores, labels)
                if not isinstance(task, Tensor) or task.ndim:
                    shape = tuple(getattr(task, 'shape', ()))
                    found = f'a {type(task).__name__} of shape {shape}'
                    raise ValueError(
                        'Invalid `task_loss`: expected one that returns a tensor of '
                        f'one number, the mean over the images, got {found}.'
                    )
                terms.update(name_losses(STUDENT, name, dict(loss=task)))
        for term, values in self.loss(list(logits.values()), taught, labels).items():
            for name, value in zip(logits, values):
                terms.update(name_losses(COLLECTIVE, name, {term: value}))
        total = torch.stack(list(terms.values())).sum()
        return CollectiveLosses(total, _detached(terms), _detached(logits))

    @staticmethod
    def _logits(name: str, network: nn.Module, images: Tensor) -> Tensor:
        output = network(images)
        logits = getattr(output, 'logits', output)
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            shape = getattr(logits, 'shape', None)
            found = '' if shape is None else f' of shape {tuple(shape)}'
            raise TypeError(
                f'Invalid network {name!r}: expected its forward to return logits of '
                f'shape (B, C), got a {type(output).__name__}{found}.'
            )
        return logits

    def _apply(self, fn: Callable, *args, **kwargs) -> 'Collective':
        """Move the teacher too, which is not a submodule."""
        for teacher in self._teacher:
            teacher._apply(fn, *args, **kwargs)
        return super()._apply(fn, *args, **kwargs)


def _check_loss(loss: object) -> None:
    """Check that a loss needs nothing but logits, labels and a teacher's logits."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(
            'Invalid `loss`: expected a loss, such as mmdckd.models.DCKDLoss(), got '
            f'{loss!r}.'
        )
    inputs = tuple(getattr(loss, 'inputs', (LOGITS,)))
    if inputs != (LOGITS,):
        name = type(loss).__name__
        raise ValueError(
            f'Invalid `loss`: expected a loss on logits, got {name}, which reads '
            f'{inputs}. Losses on features need a config.'
        )
    if getattr(loss, 'held_out', False):
        raise invalid('loss', 'one without held-out knowledge, which needs folds', loss)


def _check_classes(logits: Dict[str, Tensor]) -> None:
    classes = {name: scores.shape[1] for name, scores in logits.items()}
    if len(set(classes.values())) > 1:
        listed = ', '.join(f'{name}: {count}' for name, count in classes.items())
        raise ValueError(
            'Invalid networks: expected the same number of classes from all, got '
            f'{listed}.'
        )


def _detached(tensors: Dict[str, Tensor]) -> Dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
