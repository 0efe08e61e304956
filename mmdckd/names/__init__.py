# Copyright (c) mmdckd contributors. All rights reserved.
"""Build and parse the names of members, losses and metrics.

No other module parses names.

==================================== ==========================================
name                                 what it is
==================================== ==========================================
``student0``, ``wide``               a student, see :func:`check_name`
``teacher``, ``teacher0``, ...       the teacher, or one of several
``ensemble``                         the combined predictions of all students
``best``                             the best student of a validation
``target``, ``target.<loss>``        the targets of a collector
``cohort``                           statistics of no single member
``model``                            a network that is trained alone
``<member>/<metric>``                a metric, or a statistic of validation
``student.<name>.<loss>``            a student's task loss
``distill.<name>.<loss>``            a loss of MMRazor
``collective.<name>.<loss>.<term>``  a collective loss
``collective.<name>.<statistic>``    a statistic of a training step
``collective.<statistic>``           a statistic of all students in a step
``teacher.<loss>``                   a trainable teacher's task loss
``grad_norm.<name>``                 the norm of a student's gradient
==================================== ==========================================

A log with hierarchy adds the prefix ``train/``, ``val/`` or ``test/``.
"""

from .classes import distinct_names
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
    distiller_prefix,
    owner_of_parameter,
    parameter_prefix,
    split_parameter,
    split_teacher_parameter,
    teacher_prefix,
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
    'distinct_names',
    'distiller_prefix',
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
    'teacher_prefix',
    'with_stage',
    'without_stage',
]
