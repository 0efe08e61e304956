# Copyright (c) mmdckd contributors. All rights reserved.
"""The names of members, losses and metrics: how they are built and parsed.

No other module takes a name apart.

==================================== ==========================================
name                                 what it is
==================================== ==========================================
``student0``, ``wide``               a student, see :func:`check_name`
``teacher``, ``teacher0``, ...       the teacher, or one of several
``ensemble``                         all students, their predictions combined
``best``                             the student that is best in validation
``target``, ``target.<loss>``        what a collector makes of the students
``cohort``                           what is of no single member
``model``                            a network that is trained alone
``<member>/<metric>``                a metric, or a statistic of validation
``student.<name>.<loss>``            a student's task loss
``distill.<name>.<loss>``            a loss of MMRazor
``collective.<name>.<loss>.<term>``  a collective loss
``collective.<name>.<statistic>``    a statistic of a training step
``collective.<statistic>``           the same of all students
``teacher.<loss>``                   a trainable teacher's task loss
``grad_norm.<name>``                 the norm of a student's gradient
==================================== ==========================================

A log with hierarchy puts ``train/``, ``val/`` or ``test/`` in front.
"""

import re
from difflib import get_close_matches
from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple, TypeVar

from torch import nn

Value = TypeVar('Value')

TEACHER, ENSEMBLE, BEST = 'teacher', 'ensemble', 'best'
TARGET, COHORT, MODEL = 'target', 'cohort', 'model'
STUDENT, DISTILL, COLLECTIVE = 'student', 'distill', 'collective'
#: The sum of all losses, as the figures call it.
ALL = 'all'
STAGES = ('train', 'val', 'test')

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
    'teachers',
    'distiller',
    'labels',
)

#: In a state dict, what stands before a student's name.
_PARAMETERS = 'architecture.students.'
_CONNECTORS = 'distiller.student_distillers.'

# --------------------------------------------------------------------------- #
#                                   Members                                   #
# --------------------------------------------------------------------------- #


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


def teacher_names(count: int) -> List[str]:
    """``teacher``, or ``teacher0``, ``teacher1``, ... of several."""
    if count == 1:
        return [TEACHER]
    return [f'{TEACHER}{index}' for index in range(count)]


def lagged_name(student: str) -> str:
    """The name of a student's lagged copy."""
    return f'lagged {student}'


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


# --------------------------------------------------------------------------- #
#                                   Losses                                    #
# --------------------------------------------------------------------------- #


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


# --------------------------------------------------------------------------- #
#                                   Metrics                                   #
# --------------------------------------------------------------------------- #


def metric_name(member: str, metric: str) -> str:
    """The name of a member's metric; of :data:`MODEL` the metric itself."""
    return metric if member == MODEL else f'{member}/{metric}'


def split_metric(key: str) -> Optional[Tuple[str, str]]:
    """Take the name of a metric in the validation of a cohort apart.

    Args:
        key (str): Its name, with or without the stage in front.

    Returns:
        Tuple[str, str], optional: The member, and the metric; None if it has
        no member.
    """
    member, slash, metric = without_stage(key).partition('/')
    return (member, metric) if slash else None


def member_of(key: str, metric: str) -> Optional[str]:
    """Whose metric it is.

    Args:
        key (str): The name of a value of any run, a cohort's or not.
        metric (str): The name of the metric.

    Returns:
        str, optional: The member, :data:`MODEL` if the metric has none in
        front; None if it is another metric.
    """
    if without_stage(key) == metric:
        return MODEL
    split = split_metric(key)
    return split[0] if split and split[1] == metric else None


def metric_of(key: str, member: str) -> Optional[str]:
    """Which metric of a member it is; None if it is none of this member.

    Args:
        key (str): The name of a value of a cohort's validation.
        member (str): The name of the member.
    """
    split = split_metric(key)
    return split[1] if split and split[0] == member else None


def without_stage(key: str) -> str:
    """A name without ``train/``, ``val/`` or ``test/`` in front."""
    stage, slash, rest = key.partition('/')
    return rest if slash and stage in STAGES else key


# --------------------------------------------------------------------------- #
#                                 Parameters                                  #
# --------------------------------------------------------------------------- #


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
