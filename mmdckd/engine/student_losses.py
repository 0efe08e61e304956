# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Mapping

from mmdckd import names

from .unwrapping import unwrapped


def students_of(runner) -> List[str]:
    """Return the names of a runner's students; empty for a model without a
    cohort."""
    cohort = getattr(unwrapped(runner.model), 'cohort', None)
    return cohort.names if cohort else []


def deployed_of(runner) -> List[str]:
    """Return the names of the students among which the best is chosen: all, or
    the graduates of folds; empty for a model without a cohort."""
    cohort = getattr(unwrapped(runner.model), 'cohort', None)
    return cohort.deployed if cohort else []


def task_losses(scalars: Mapping[str, float], students: List[str]) -> Dict[str, float]:
    """Sum the task losses of each student.

    Args:
        scalars (Mapping[str, float]): The logged values of a training step, by
            name.
        students (List[str]): The names of the students.

    Returns:
        Dict[str, float]: The sum of each student's task losses, in the order of
        ``students``; empty if none has a task loss.
    """
    losses = dict.fromkeys(students, 0.0)
    has_one = False
    for key, value in scalars.items():
        found = names.parse_loss(key)
        if (
            found
            and found.part == names.STUDENT
            and found.student in losses
            and names.is_loss(found.name)
        ):
            losses[found.student] += value
            has_one = True
    return losses if has_one else {}
