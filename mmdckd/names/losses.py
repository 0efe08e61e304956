# Copyright (c) mmdckd contributors. All rights reserved.
"""Losses and statistics of a training step."""

from typing import Dict, NamedTuple, Optional, TypeVar

from .members import COLLECTIVE, DISTILL, STUDENT, TEACHER, role_of
from .metrics import without_stage

Value = TypeVar('Value')


class LossName(NamedTuple):
    """The name of a loss, or of a statistic of a training step, taken apart.

    Attributes:
        part (str): :data:`STUDENT`, :data:`DISTILL`, :data:`COLLECTIVE` or
            :data:`TEACHER`.
        member (str, optional): Whose it is; None if it is of all students.
        name (str): The rest.
    """

    part: str
    member: Optional[str]
    name: str

    @property
    def student(self) -> Optional[str]:
        """str, optional: The student whose it is; None of a teacher."""
        return None if self.part == TEACHER else self.member


def name_losses(
    part: str, member: Optional[str], values: Dict[str, Value]
) -> Dict[str, Value]:
    """Name the losses and statistics of a member in a training step.

    Args:
        part (str): :data:`STUDENT`, :data:`DISTILL`, :data:`COLLECTIVE` or
            :data:`TEACHER`.
        member (str, optional): Its name; None for what is of all students.
        values (dict): Them by the rest of their name.

    Returns:
        dict: Them by name.
    """
    parts = [part, member] if part != TEACHER else [member]
    prefix = '.'.join(filter(None, parts))
    return {f'{prefix}.{name}': value for name, value in values.items()}


def is_loss(name: str) -> bool:
    """Whether MMEngine trains a value of this name."""
    return 'loss' in name


def parse_loss(key: str) -> Optional[LossName]:
    """Take the name of a loss, or of a statistic of a step, apart.

    Args:
        key (str): Its name, with or without the stage in front.

    Returns:
        LossName, optional: None if it is no member's, as MMEngine's ``loss``
        (the sum), ``lr`` and ``time``.
    """
    part, *rest = without_stage(key).split('.')
    if not rest:
        return None
    if part in (STUDENT, DISTILL, COLLECTIVE):
        if len(rest) == 1:
            return LossName(part, None, rest[0])
        return LossName(part, rest[0], '.'.join(rest[1:]))
    if role_of(part) == TEACHER:
        return LossName(TEACHER, part, '.'.join(rest))
    return None


def student_of(key: str) -> Optional[str]:
    """The student whose loss it is; None of a teacher, or of no member."""
    found = parse_loss(key)
    return found.student if found else None


def grad_norm(owner: str) -> str:
    """The name of the norm of a gradient; see :func:`owner_of_parameter`."""
    return f'grad_norm.{owner}'
