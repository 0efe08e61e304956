# Copyright (c) mmdckd contributors. All rights reserved.
"""Select the part of a distiller's config that goes to a student's distiller."""

import copy
from typing import Dict, Iterable, List, Optional, Set


def parts_for_student(parts: dict, student: str, names: List[str]) -> dict:
    """Remove the losses of other students from a distiller's config.

    A loss whose config lists ``students`` applies only to these. Student
    recorders and connectors that only removed losses use are removed, too, as
    they need not fit this student in a mixed cohort. The teacher's recorders
    stay, as all students share them.

    Args:
        parts (dict): The config of an MMRazor distiller; its losses may have
            ``students=['student0', ...]``.
        student (str): The name of the student.
        names (List[str]): The names of all students.

    Returns:
        dict: A config for MMRazor's distiller.

    Raises:
        ValueError: If ``students`` of a loss is not a list of students of the
            cohort.

    Examples:
        >>> parts = dict(distill_losses=dict(
        ...     loss_kl=dict(type='KLDivergence', students=['main'])))
        >>> parts_for_student(parts, 'peer', ['main', 'peer'])
        {'distill_losses': {}}
    """
    parts = copy.deepcopy(parts)
    losses = parts.get('distill_losses', {})
    kept = dict(parts.get('loss_forward_mappings', {}))
    dropped: Dict[str, dict] = {}
    for loss in list(losses):
        students = losses[loss].pop('students', names)
        _check_students(loss, students, names)
        if student not in students:
            del losses[loss]
            dropped[loss] = kept.pop(loss, {})
    if not dropped:
        return parts
    if 'loss_forward_mappings' in parts:
        parts['loss_forward_mappings'] = kept
    for kind in ('student_recorders', 'connectors'):
        for part in _used(kind, dropped.values()) - _used(kind, kept.values()):
            parts.get(kind, {}).pop(part, None)
    return parts


def without_recorders(parts: Dict[str, Optional[dict]], read: Set[str]) -> dict:
    """Remove the recorders that only collective losses use.

    MMRazor's distiller would keep their records, and the autograd graph, until
    the next step.

    Args:
        parts (dict): The parts of the config of an MMRazor distiller.
        read (Set[str]): The names of recorders that collective losses use.

    Returns:
        dict: The remaining parts, without empty ones.
    """
    mappings = (parts['loss_forward_mappings'] or {}).values()
    records = [record for mapping in mappings for record in mapping.values()]
    read = read - {each.get('recorder') for each in records if isinstance(each, dict)}
    left = {}
    for key, part in parts.items():
        if key.endswith('_recorders'):
            part = {name: cfg for name, cfg in (part or {}).items() if name not in read}
        if part:
            left[key] = part
    return left


def _check_students(loss: str, students: List[str], names: List[str]) -> None:
    if (
        not isinstance(students, (list, tuple))
        or not students
        or not set(students) <= set(names)
    ):
        raise ValueError(
            f'Invalid `distiller.distill_losses.{loss}.students`: expected a list of '
            f'some of {names}, got {students!r}.'
        )


def _used(kind: str, mappings: Iterable[dict]) -> Set[str]:
    records = [record for mapping in mappings for record in mapping.values()]
    if kind == 'connectors':
        return {r['connector'] for r in records if 'connector' in r}
    return {r['recorder'] for r in records if r['from_student']}
