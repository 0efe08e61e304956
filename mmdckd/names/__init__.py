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

from .losses import LossName, grad_norm, is_loss, name_losses, parse_loss, student_of
from .members import (
    ALL,
    BEST,
    COHORT,
    COLLECTIVE,
    DISTILL,
    ENSEMBLE,
    MODEL,
    RESERVED,
    STAGES,
    STUDENT,
    TARGET,
    TEACHER,
    TEACHERS,
    check_loss_name,
    check_name,
    choose_student,
    finished_name,
    in_order,
    lagged_name,
    of_role,
    role_of,
    student_names,
    target_names,
    teacher_names,
)
from .metrics import (
    member_of,
    metric_name,
    metric_of,
    split_metric,
    stage_of,
    with_stage,
    without_stage,
)
from .parameters import (
    owner_of_parameter,
    parameter_prefix,
    split_parameter,
    split_teacher_parameter,
)

__all__ = [
    'ALL',
    'BEST',
    'COHORT',
    'COLLECTIVE',
    'DISTILL',
    'ENSEMBLE',
    'LossName',
    'MODEL',
    'RESERVED',
    'STAGES',
    'STUDENT',
    'TARGET',
    'TEACHER',
    'TEACHERS',
    'check_loss_name',
    'check_name',
    'choose_student',
    'finished_name',
    'grad_norm',
    'in_order',
    'is_loss',
    'lagged_name',
    'member_of',
    'metric_name',
    'metric_of',
    'name_losses',
    'of_role',
    'owner_of_parameter',
    'parameter_prefix',
    'parse_loss',
    'role_of',
    'split_metric',
    'split_parameter',
    'split_teacher_parameter',
    'stage_of',
    'student_names',
    'student_of',
    'target_names',
    'teacher_names',
    'with_stage',
    'without_stage',
]
