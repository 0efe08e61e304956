# Copyright (c) mmdckd contributors. All rights reserved.
"""Parse the names of parameters in a state dict of the algorithm."""

from typing import Optional, Tuple

from .members import TEACHERS

#: The prefix of a student's name.
_PARAMETERS = 'architecture.students.'
_DISTILLERS = 'distiller.student_distillers.'


def parameter_prefix(student: str = '') -> str:
    """Return the prefix, with its final dot, of a student's parameters in a state
    dict of the algorithm; without a name, the prefix of all students."""
    return f'{_PARAMETERS}{student}.' if student else _PARAMETERS


def distiller_prefix(student: str) -> str:
    """Return the prefix, with its final dot, of the parameters of a student's
    distiller, such as its connectors."""
    return f'{_DISTILLERS}{student}.'


def teacher_prefix(index: int) -> str:
    """Return the prefix, with its final dot, of a trainable teacher's parameters."""
    return f'{TEACHERS}.{index}.model.'


def split_parameter(key: str) -> Optional[Tuple[str, str]]:
    """Parse the name of a student's parameter.

    Args:
        key (str): The key in a state dict of the algorithm.

    Returns:
        Tuple[str, str], optional: The student, and the key outside the cohort,
        which is '' for the student's module itself; None if it is not a
        parameter of a student.
    """
    if not key.startswith(_PARAMETERS):
        return None
    student, _, own = key[len(_PARAMETERS) :].partition('.')
    return student, own


def split_teacher_parameter(key: str) -> Optional[Tuple[int, str]]:
    """Parse the name of a trainable teacher's parameter.

    Args:
        key (str): The key in a state dict of the algorithm.

    Returns:
        Tuple[int, str], optional: The teacher's index, and the key in the
        teacher's own state dict; None if it is not a parameter of a teacher.
    """
    part, _, rest = key.partition('.')
    if part != TEACHERS:
        return None
    index, _, own = rest.split('.', 2)
    return int(index), own


def owner_of_parameter(key: str) -> str:
    """Return the owner of a parameter of the algorithm.

    Args:
        key (str): The key in a state dict of the algorithm.

    Returns:
        str: The name of the student, also for its connectors; otherwise the
        part of the algorithm, ``teachers`` or ``distiller``.
    """
    for prefix in (_PARAMETERS, _DISTILLERS):
        if key.startswith(prefix):
            return key[len(prefix) :].partition('.')[0]
    return key.partition('.')[0]
