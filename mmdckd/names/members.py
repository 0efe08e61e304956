# Copyright (c) mmdckd contributors. All rights reserved.
"""Students, teachers and what stands for several of them."""

import re
from difflib import get_close_matches
from typing import Iterable, List

from torch import nn

TEACHER, ENSEMBLE, BEST = 'teacher', 'ensemble', 'best'
TARGET, COHORT, MODEL = 'target', 'cohort', 'model'
STUDENT, DISTILL, COLLECTIVE = 'student', 'distill', 'collective'
#: The sum of all losses, as the figures call it.
ALL = 'all'
#: What a log with hierarchy puts in front of a name.
STAGES = ('train', 'val', 'test')

#: The part of the algorithm that the teachers are.
TEACHERS = 'teachers'

#: Names that no student may have. ``teacher0``, ``teacher1``, ... are
#: reserved too, and what an ``nn.ModuleDict`` cannot hold, such as ``keys``.
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
    """Check that a student can be called so.

    Args:
        name (str): The name.
        key (str): The config key that it stands under, for the message.

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
    """Check that a loss of a distiller can be called so.

    Args:
        name (str): The name.
        key (str): The config key that it stands under, for the message.

    Returns:
        str: The name.

    Raises:
        ValueError: If it does not match ``[A-Za-z_][\\w-]*``, or is one that
            an ``nn.ModuleDict`` cannot hold.
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
    """What is nearest to a name and a word."""
    return re.sub(r'^(?=\d)', '_', re.sub(r'[^\w-]+', '_', str(name)))


def _is_taken(name: str) -> bool:
    """Whether an ``nn.ModuleDict`` has an attribute of this name."""
    return hasattr(nn.ModuleDict(), name)


def student_names(count: int) -> List[str]:
    """Names of students that the config does not name."""
    return [f'{STUDENT}{index}' for index in range(count)]


def in_order(students: Iterable[str]) -> List[str]:
    """Students in the order of a cohort: by name, ``student2`` before
    ``student10``. It does not hang on a config, whose keys MMEngine sorts when
    it saves it."""
    return sorted(students, key=lambda name: re.sub(r'\d+', _padded, name))


def _padded(number: re.Match) -> str:
    return number[0].zfill(10)


def teacher_names(count: int) -> List[str]:
    """``teacher``, or ``teacher0``, ``teacher1``, ... of several."""
    if count == 1:
        return [TEACHER]
    return [f'{TEACHER}{index}' for index in range(count)]


def lagged_name(student: str) -> str:
    """The name of a student's lagged copy."""
    return f'lagged {student}'


def finished_name(index: int) -> str:
    """The name of a peer that has finished its training."""
    return f'finished peer {index}'


def target_names(losses: Iterable[str]) -> List[str]:
    """The names of what each of several collective losses collects."""
    losses = list(losses)
    if len(losses) == 1:
        return [TARGET]
    return [f'{TARGET}.{name}' for name in losses]


def role_of(member: str) -> str:
    """What kind of member has a name.

    Args:
        member (str): The name of a member.

    Returns:
        str: :data:`TEACHER`, :data:`ENSEMBLE`, :data:`BEST`, :data:`TARGET`,
        :data:`COHORT`, :data:`ALL`, or :data:`STUDENT` of any other,
        :data:`MODEL` included.
    """
    if member in (ENSEMBLE, BEST, COHORT, ALL):
        return member
    if re.fullmatch(rf'{TEACHER}\d*', member):
        return TEACHER
    if member == TARGET or member.startswith(f'{TARGET}.'):
        return TARGET
    return STUDENT


def of_role(members: Iterable[str], *roles: str) -> List[str]:
    """The members of one of some kinds, in order; see :func:`role_of`."""
    return [name for name in members if role_of(name) in roles]


def choose_student(name: str, students: Iterable[str], where: str) -> str:
    """Check that a student exists.

    Args:
        name (str): Its name.
        students (Iterable[str]): The names that there are.
        where (str): What it was looked for in, for the message.

    Returns:
        str: The name.

    Raises:
        ValueError: If there is no such student.
    """
    students = list(students)
    if name in students:
        return name
    near = get_close_matches(name, students, 1)
    raise ValueError(
        f'{where} has no student {name!r}'
        + (f'; did you mean {near[0]!r}?' if near else '.')
        + f' Its students are {students}.'
    )
