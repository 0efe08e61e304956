# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List

from mmengine.config import Config

from mmdckd.names import (
    TEACHER,
    distiller_prefix,
    parameter_prefix,
    student_names,
    teacher_prefix,
)


def rename_custom_keys(cfg: Config, num_students: int, notes: List[str]) -> None:
    """Repeat the settings of single parameters for every student.

    Keys of the student and of its distiller, such as its connectors, are repeated;
    those of a trainable teacher are renamed. Those of a frozen one, which MMRazor
    ignores, are removed.

    Args:
        cfg (Config): The config, with the converted model.
        num_students (int): The number of students.
        notes (List[str]): Where to add notes for the user.
    """
    paramwise: Any = (cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    custom_keys = paramwise.get('custom_keys') or {}
    trainable = cfg.model.get('teacher_trainable', False)
    new = {key: _renamed(key, num_students, trainable) for key in custom_keys}
    changed = {key for key in custom_keys if new[key] != [key]}
    if not changed:
        return
    paramwise.custom_keys = {
        name: settings for key, settings in custom_keys.items() for name in new[key]
    }
    where = '`optim_wrapper.paramwise_cfg.custom_keys`'
    removed = sorted(key for key in changed if not new[key])
    if removed:
        notes.append(
            f'{where} has no {", ".join(removed)}: the teacher is frozen, and the '
            'optimizer has none of its parameters.'
        )
    repeated = sorted(key for key in changed if not _is_of(TEACHER, key))
    if repeated:
        notes.append(
            f'{where} has a key for each of {num_students} students instead of '
            f'{", ".join(repeated)}: change it together with `num_students`.'
        )


def _renamed(key: str, num_students: int, trainable: bool) -> List[str]:
    """Return the keys that match what a key matches in MMRazor."""
    if _is_of(TEACHER, key):
        own = key[len(f'{TEACHER}.') :]
        return [teacher_prefix(0) + own] if trainable else []
    for old, prefix in (
        ('architecture.', parameter_prefix),
        ('distiller.', distiller_prefix),
    ):
        if key.startswith(old):
            students = student_names(num_students)
            return [prefix(student) + key[len(old) :] for student in students]
    return [key]


def _is_of(part: str, key: str) -> bool:
    return key == part or key.startswith(f'{part}.')
