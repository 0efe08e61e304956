# Copyright (c) mmdckd contributors. All rights reserved.
"""Name the losses and statistics of a training step."""

from typing import Dict, NamedTuple, Optional, TypeVar

from .members import COLLECTIVE, DISTILL, STUDENT, TEACHER, role_of
from .metrics import without_stage

Value = TypeVar('Value')


class LossName(NamedTuple):
    """The parsed name of a loss or a statistic of a training step.

    Attributes:
        part (str): :data:`STUDENT`, :data:`DISTILL`, :data:`COLLECTIVE` or
            :data:`TEACHER`.
        member (str, optional): The member; None if it is of all students.
        name (str): The rest of the name.
    """

    part: str
    member: Optional[str]
    name: str

    @property
    def student(self) -> Optional[str]:
        """str, optional: The student; None for a teacher."""
        return None if self.part == TEACHER else self.member


def name_losses(
    part: str, member: Optional[str], values: Dict[str, Value]
) -> Dict[str, Value]:
    """Name the losses and statistics of a member in a training step.

    Args:
        part (str): :data:`STUDENT`, :data:`DISTILL`, :data:`COLLECTIVE` or
            :data:`TEACHER`.
        member (str, optional): The member's name; None for values of all
            students.
        values (dict): Rest of the name to value.

    Returns:
        dict: Name to value.
    """
    parts = [part, member] if part != TEACHER else [member]
    prefix = '.'.join(filter(None, parts))
    return {f'{prefix}.{name}': value for name, value in values.items()}


def is_loss(name: str) -> bool:
    """Tell whether MMEngine adds a value of this name to the total loss."""
    return 'loss' in name


def parse_loss(key: str) -> Optional[LossName]:
    """Parse the name of a loss or a statistic of a training step.

    Args:
        key (str): The name, with or without the prefix of a stage.

    Returns:
        LossName, optional: None for other names, such as MMEngine's ``loss``
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
    """Return the student of a loss; None for a teacher or no member."""
    found = parse_loss(key)
    return found.student if found else None


def grad_norm(owner: str) -> str:
    """Return the name of the norm of a gradient; see :func:`owner_of_parameter`."""
    return f'grad_norm.{owner}'
