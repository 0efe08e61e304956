# Copyright (c) mmdckd contributors. All rights reserved.
"""Name students, teachers and combinations of them."""

import re
from typing import Iterable, List

from torch import nn

from mmdckd.errors import did_you_mean, invalid

TEACHER, ENSEMBLE, BEST = 'teacher', 'ensemble', 'best'
TARGET, COHORT, MODEL = 'target', 'cohort', 'model'
STUDENT, DISTILL, COLLECTIVE = 'student', 'distill', 'collective'
#: The name of the sum of all losses in figures.
ALL = 'all'
#: The prefixes that a log with hierarchy adds to names.
STAGES = ('train', 'val', 'test')

#: The attribute of the algorithm that holds the teachers.
TEACHERS = 'teachers'

#: Names that no student may have. ``teacher0``, ``teacher1``, ... and attributes
#: of ``nn.ModuleDict``, such as ``keys``, are also reserved.
RESERVED = (
    TEACHER,
    ENSEMBLE,
    BEST,
    TARGET,
    COHORT,
    MODEL,
    ALL,
    *STAGES,
    TEACHERS,
    'distiller',
    'labels',
)


def check_name(name: str, key: str) -> str:
    """Check that a student's name is valid.

    Args:
        name (str): The name.
        key (str): The config key of the name, for the error message.

    Returns:
        str: The name.

    Raises:
        ValueError: If it does not match ``[A-Za-z_][\\w-]*``, contains
            "loss" or is reserved.
    """
    if not _is_word(name):
        expected = 'a letter or "_", then letters, digits, "_" or "-"'
        near = _word(name)
    elif 'loss' in name:
        expected = (
            'a name without "loss", because MMEngine adds every value '
            'with "loss" in its name to the total loss'
        )
        near = re.sub('_*loss_*', '', name)
    elif name in RESERVED or re.fullmatch(rf'{TEACHER}\d+', name) or _is_taken(name):
        expected = 'a name that is not reserved'
        near = f'{name}_net'
    else:
        return name
    raise ValueError(
        f"Invalid `{key}`: expected a student's name to be "
        f'{expected}, got {name!r}.' + (f' Did you mean {near!r}?' if near else '')
    )


def check_loss_name(name: str, key: str) -> str:
    """Check that the name of a distiller's loss is valid.

    Args:
        name (str): The name.
        key (str): The config key of the name, for the error message.

    Returns:
        str: The name.

    Raises:
        ValueError: If it does not match ``[A-Za-z_][\\w-]*``, or is an
            attribute of ``nn.ModuleDict``.
    """
    if not _is_word(name) or _is_taken(name):
        raise ValueError(
            f'Invalid `{key}`: expected the name of a loss to be a letter or '
            '"_", then letters, digits, "_" or "-", and no attribute of a '
            f'module, got {name!r}. Did you mean '
            f'{"loss_" + _word(name).strip("_")!r}?'
        )
    return name


def _is_word(name) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r'[A-Za-z_][\w-]*', name))


def _word(name) -> str:
    """Turn a name into the most similar valid one."""
    return re.sub(r'^(?=\d)', '_', re.sub(r'[^\w-]+', '_', str(name)))


def _is_taken(name: str) -> bool:
    """Tell whether ``nn.ModuleDict`` has an attribute of this name."""
    return hasattr(nn.ModuleDict(), name)


def student_names(count: int) -> List[str]:
    """Return the default names of students."""
    return [f'{STUDENT}{index}' for index in range(count)]


def in_order(students: Iterable[str]) -> List[str]:
    """Sort students by name, ``student2`` before ``student10``.

    This order does not depend on a config, whose keys MMEngine sorts when it
    saves it.
    """
    return sorted(students, key=lambda name: re.sub(r'\d+', _padded, name))


def _padded(number: re.Match) -> str:
    return number[0].zfill(10)


def teacher_names(count: int) -> List[str]:
    """Return ``teacher``, or ``teacher0``, ``teacher1``, ... if there are several."""
    if count == 1:
        return [TEACHER]
    return [f'{TEACHER}{index}' for index in range(count)]


def lagged_name(student: str) -> str:
    """Return the name of a student's lagged copy."""
    return f'lagged {student}'


def finished_name(index: int) -> str:
    """Return the name of a finished peer."""
    return f'finished peer {index}'


def target_names(losses: Iterable[str]) -> List[str]:
    """Return the names of the targets of collective losses."""
    losses = list(losses)
    if len(losses) == 1:
        return [TARGET]
    return [f'{TARGET}.{name}' for name in losses]


def role_of(member: str) -> str:
    """Return the kind of member that a name belongs to.

    Args:
        member (str): The name of a member.

    Returns:
        str: :data:`TEACHER`, :data:`ENSEMBLE`, :data:`BEST`, :data:`TARGET`,
        :data:`COHORT` or :data:`ALL`; :data:`STUDENT` for any other name,
        including :data:`MODEL`.
    """
    if member in (ENSEMBLE, BEST, COHORT, ALL):
        return member
    if re.fullmatch(rf'{TEACHER}\d*', member):
        return TEACHER
    if member == TARGET or member.startswith(f'{TARGET}.'):
        return TARGET
    return STUDENT


def of_role(members: Iterable[str], *roles: str) -> List[str]:
    """Select the members of given kinds, in order; see :func:`role_of`."""
    return [name for name in members if role_of(name) in roles]


def choose_student(name: str, students: Iterable[str], where: str) -> str:
    """Check that a student exists.

    Args:
        name (str): The name of the student.
        students (Iterable[str]): The names of all students.
        where (str): Where the students are, for the error message, such as
            ``'a/file.pth'``.

    Returns:
        str: The name.

    Raises:
        ValueError: If the student does not exist.
    """
    students = list(students)
    if name in students:
        return name
    hint = did_you_mean(name, students)
    raise invalid('student', f'one of {students} in {where!r}', name, hint)
