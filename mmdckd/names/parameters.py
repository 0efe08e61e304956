# Copyright (c) mmdckd contributors. All rights reserved.
"""Parameters in a state dict of the algorithm."""

from typing import Optional, Tuple

from .members import TEACHERS

#: What stands before a student's name.
_PARAMETERS = 'architecture.students.'
_CONNECTORS = 'distiller.student_distillers.'


def parameter_prefix(student: str = '') -> str:
    """What stands before a student's parameters in a state dict of the
    algorithm, with the last dot; without a name, before all students'."""
    return f'{_PARAMETERS}{student}.' if student else _PARAMETERS


def split_parameter(key: str) -> Optional[Tuple[str, str]]:
    """Take the name of a student's parameter apart.

    Args:
        key (str): Its key in a state dict of the algorithm.

    Returns:
        Tuple[str, str], optional: The student, and the key that it has
        outside the cohort, '' of the student's own module; None if it is
        none of a student.
    """
    if not key.startswith(_PARAMETERS):
        return None
    student, _, own = key[len(_PARAMETERS) :].partition('.')
    return student, own


def split_teacher_parameter(key: str) -> Optional[Tuple[int, str]]:
    """Take the name of a trainable teacher's parameter apart.

    Args:
        key (str): Its key in a state dict of the algorithm.

    Returns:
        Tuple[int, str], optional: The teacher's index, and the key that it
        has by itself; None if it is none of a teacher.
    """
    part, _, rest = key.partition('.')
    if part != TEACHERS:
        return None
    index, _, own = rest.split('.', 2)
    return int(index), own


def owner_of_parameter(key: str) -> str:
    """Whose a parameter of the algorithm is.

    Args:
        key (str): Its key in a state dict of the algorithm.

    Returns:
        str: The name of the student, also of a connector that is the
        student's; else the part of the algorithm, ``teachers`` or
        ``distiller``.
    """
    for prefix in (_PARAMETERS, _CONNECTORS):
        if key.startswith(prefix):
            return key[len(prefix) :].partition('.')[0]
    return key.partition('.')[0]
