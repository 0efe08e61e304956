# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Dict, List, Tuple

from mmengine.config import Config

from mmdckd.names import (
    TEACHER,
    distiller_prefix,
    parameter_prefix,
    student_names,
    teacher_prefix,
)

#: The prefixes of MMRazor's parameters that a cohort renames.
_MOVED = ('architecture.', 'distiller.', f'{TEACHER}.')


def rename_custom_keys(cfg: Config, num_students: int, notes: List[str]) -> None:
    """Repeat the settings of single parameters for every student.

    Keys of the student and of its distiller, such as its connectors, are repeated;
    those of a trainable teacher are renamed. Those of a frozen one, which MMRazor
    ignores, are removed. Every parameter has the settings that it has in MMRazor.

    Args:
        cfg (Config): The config, with the converted model.
        num_students (int): The number of students.
        notes (List[str]): Where to add notes for the user.

    Raises:
        ValueError: If MMEngine would use another one of two keys that match the
            same parameter.
    """
    paramwise: Any = (cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    custom_keys = paramwise.get('custom_keys') or {}
    trainable = cfg.model.get('teacher_trainable', False)
    new = _renamed(custom_keys, num_students, trainable)
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
    repeated = sorted(key for key in changed if key.partition('.')[0] != TEACHER)
    if repeated:
        notes.append(
            f'{where} has a key for each of {num_students} students instead of '
            f'{", ".join(repeated)}: change it together with `num_students`.'
        )


def _renamed(
    custom_keys: Dict[str, dict], num_students: int, trainable: bool
) -> Dict[str, List[str]]:
    """Return the keys that match what each key matches in MMRazor."""
    students = student_names(num_students)
    # The new prefixes, and what makes them unique.
    prefixes = (
        ([parameter_prefix(each) for each in students], 'ts.'),
        ([distiller_prefix(each) for each in students], 'rs.'),
        ([teacher_prefix(0)] if trainable else [], '.0.'),
    )
    new = {key: [key] for key in custom_keys}
    for old, (names, unique) in zip(_MOVED, prefixes):
        own = {key: key[len(old) :] for key in custom_keys if _moves(key, old)}
        new.update({key: [] for key in own})
        if own and names:
            new.update(_with_prefixes(own, names, unique, custom_keys))
    return new


def _with_prefixes(
    own: Dict[str, str], prefixes: List[str], unique: str, custom_keys: Dict[str, dict]
) -> Dict[str, List[str]]:
    """Put the prefixes before keys.

    Of the keys in the name of a parameter, MMEngine uses the longest. So that no
    key becomes longer than one that stays and that has to be used in its place, the
    prefixes are cut at their beginning as far as necessary.
    """
    first = prefixes[0]
    # Whole words come first, as they are easier to read.
    cuts = sorted(
        range(first.rindex(unique) + 1),
        key=lambda cut: (cut > 0 and first[cut - 1] != '.', cut),
    )
    for cut in cuts:
        new = {
            key: [prefix[cut:] + rest for prefix in prefixes]
            for key, rest in own.items()
        }
        if cut and TEACHER in own:
            new[TEACHER] = [TEACHER]  # it is in the new names, too
        changed = _changed_order(new, custom_keys)
        if not changed:
            return new
    key, other = changed
    raise ValueError(
        'Invalid `optim_wrapper.paramwise_cfg.custom_keys`: expected lengths that '
        'differ more, as MMEngine uses the longest key in the name of a parameter, got '
        f'{key!r} and {other!r}: in a cohort, it would use the other one of them. '
        'Lengthen or shorten one.'
    )


def _changed_order(
    new: Dict[str, List[str]], custom_keys: Dict[str, dict]
) -> List[str]:
    """Find a key and one that stays, of which MMEngine would use the other one."""
    staying = [
        key for key in custom_keys if not any(_moves(key, old) for old in _MOVED)
    ]
    for key, names in new.items():
        for other in staying:
            wins = {_rank(name) < _rank(other) for name in [key, *names]}
            if len(wins) > 1 and custom_keys[key] != custom_keys[other]:
                return [key, other]
    return []


def _rank(key: str) -> Tuple[int, str]:
    """Return the place of a key in MMEngine's order."""
    return -len(key), key


def _moves(key: str, old: str) -> bool:
    """Tell whether a key begins with a prefix; ``teacher`` alone does, too."""
    return key.startswith(old) or key == TEACHER == old[:-1]
