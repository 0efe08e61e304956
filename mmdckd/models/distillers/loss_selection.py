# Copyright (c) mmdckd contributors. All rights reserved.
"""What of a distiller's config is MMRazor's, and which student has it."""

import copy
from typing import Dict, Iterable, List, Optional, Set


def parts_for_student(parts: dict, student: str, names: List[str]) -> dict:
    """Take the losses of other students out of a distiller's config.

    A loss whose config names ``students`` is theirs alone. What only the
    losses taken out use, student recorders and connectors, goes with them: in
    a mixed cohort it need not fit this student. The teacher's recorders stay,
    for they serve all.

    Args:
        parts (dict): The config of an MMRazor distiller; its losses may say
            ``students=['student0', ...]``.
        student (str): The student it is for.
        names (List[str]): The names of all students.

    Returns:
        dict: A config that MMRazor's distiller understands.

    Raises:
        ValueError: If a loss names no list of students of the cohort.

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
    """Leave the recorders to collective losses that they alone read.

    MMRazor's would keep what they recorded, and its graph, until the next
    step.

    Args:
        parts (dict): The parts of the config of an MMRazor distiller.
        read (Set[str]): The names of recorders that collective losses read.

    Returns:
        dict: The parts that are left, none empty.
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
            f'`distiller.distill_losses.{loss}.students` should list some of '
            f'the students {names}, but got {students!r}.'
        )


def _used(kind: str, mappings: Iterable[dict]) -> Set[str]:
    records = [record for mapping in mappings for record in mapping.values()]
    if kind == 'connectors':
        return {r['connector'] for r in records if 'connector' in r}
    return {r['recorder'] for r in records if r['from_student']}
