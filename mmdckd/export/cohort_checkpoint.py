# Copyright (c) mmdckd contributors. All rights reserved.
"""What the checkpoint of a cohort says, checked: it may come from anywhere."""

from collections import OrderedDict
from typing import Any, Dict, List, NamedTuple, Optional

from mmengine.config import Config
from torch import Tensor

from mmdckd.console.messages import warn
from mmdckd.io.best_student import best_student_of
from mmdckd.io.config_text import check_values, parse_config_text
from mmdckd.models.weights import read_checkpoint
from mmdckd.names import (
    ALL,
    BEST,
    check_name,
    choose_student,
    parameter_prefix,
    split_parameter,
)


def students_of(
    state_dict: Dict[str, Tensor], path: str
) -> Dict[str, Dict[str, Tensor]]:
    """The state dict of every student, by name, with the keys it has outside
    the cohort."""
    students: Dict[str, Any] = {}
    if not isinstance(state_dict, dict):
        raise ValueError(
            f'The checkpoint {path!r} holds no state dict: expected a dict '
            f'under "state_dict", got a {type(state_dict).__name__}.'
        )
    for key, value in state_dict.items():
        found = split_parameter(key) if isinstance(key, str) else None
        if found:
            name, own_key = found
            if name not in students:
                check_name(name, f'{path}: a student in its state_dict')
                students[name] = OrderedDict()
            if not isinstance(value, Tensor):
                raise ValueError(
                    f'The checkpoint {path!r} has something under {key!r} '
                    f'that is no tensor but a {type(value).__name__}.'
                )
            students[name][own_key] = value
    if not students:
        raise ValueError(
            f'The checkpoint {path!r} is none of a cohort: it has no key that '
            f'starts with {parameter_prefix()!r}. Its keys are '
            f'{list(state_dict)[:4]}, ... Give one that the run of a '
            '`CollectiveDistill` wrote.'
        )
    # The versions of modules, by which some of them read older files.
    versions = getattr(state_dict, '_metadata', {})
    for state in students.values():
        state._metadata = OrderedDict()
    for key, value in versions.items():
        found = split_parameter(key)
        if found and found[0] in students:
            students[found[0]]._metadata[found[1]] = value
    return students


def choose(student: str, names: List[str], content: dict, path: str) -> str:
    if student == BEST:
        best = best_student_of(content)
        if best is None:
            raise ValueError(
                f'The checkpoint {path!r} was written before any validation '
                'by mmdckd.CollectiveValLoop, so it does not say which '
                f'student is best. Name one of {names}.'
            )
        if best.note:
            warn(f'{path}: {best.note}. Name another student to export that.')
        student = best.name
    return choose_student(student, names, path)


def meta_of(content: dict, path: str) -> Dict[str, Any]:
    """What a checkpoint says of its run, as far as it is used.

    Raises:
        ValueError: If it has another form than what MMEngine writes.
    """
    meta = content.get('meta') or {}
    dataset = meta.get('dataset_meta') or {} if isinstance(meta, dict) else 0
    classes = dataset.get('classes') if isinstance(dataset, dict) else 0
    if classes is not None and not (
        isinstance(classes, (list, tuple))
        and all(isinstance(each, str) for each in classes)
    ):
        raise ValueError(
            f'Invalid `meta` in the checkpoint {path!r}: expected a dict '
            'whose `dataset_meta.classes`, if any, is a list of names.'
        )
    students = meta.get('students') or {}
    if not isinstance(students, dict) or not all(
        isinstance(each, dict) and 'cfg_path' not in each for each in students.values()
    ):
        raise ValueError(
            f'Invalid `meta.students` in the checkpoint {path!r}: expected a dict '
            'from names to model configs.'
        )
    for key, kind in dict(epoch=int, iter=int, seed=int, experiment_name=str).items():
        if not isinstance(meta.get(key), (kind, type(None))):
            raise ValueError(
                f'Invalid `meta.{key}` in the checkpoint {path!r}: expected '
                f'{kind.__name__}, got {type(meta[key]).__name__}.'
            )
    return meta


def config_of(meta: Dict[str, Any], name: str, path: str) -> Config:
    """The config of the run that wrote a checkpoint, as far as one student
    needs it. Nothing is run for it.

    Where ``meta['students']`` has the student, that is what it is: no
    ``cfg_path`` has to be found any more. Older checkpoints do not have it.

    Args:
        meta (dict): The metadata, as :func:`meta_of` returns them.
        name (str): The name of the student.
        path (str): The path of the checkpoint, for the message.

    Raises:
        ValueError: If there is no config, or something other than values.
    """
    if not meta.get('cfg'):
        raise ValueError(
            f'The checkpoint {path!r} carries no config. Give the config of its run.'
        )
    try:
        cfg = parse_config_text(meta['cfg'])
        own = (meta.get('students') or {}).get(name)
        if own is not None:
            check_values(own, f'meta.students.{name}')
            cfg.model = dict(students={name: own})
            cfg.pop('data_preprocessor', None)  # the student's own holds
    except ValueError as error:
        raise ValueError(f'{path!r}: {error}. Give the config of its run.') from error
    return cfg


class Cohort(NamedTuple):
    """What a checkpoint can be exported as.

    Attributes:
        students (List[str]): The names of the students that were asked for.
        classes (List[str], optional): The names of the classes.
        config (Config, optional): The config of the run; None where the checkpoint
            carries none.
    """

    students: List[str]
    classes: Optional[List[str]]
    config: Optional[Config]


def read_cohort(path: str, student: str) -> Cohort:
    """Read what can be exported of a checkpoint.

    Args:
        path (str): The checkpoint.
        student (str): The name of a student, ``'best'`` or ``'all'``.

    Returns:
        Cohort: What it holds.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint of a cohort, or has no such student.
    """
    content = read_checkpoint(path, 'checkpoint')
    students = list(students_of(content.get('state_dict', content), path))
    if student != ALL:
        students = [choose(student, students, content, path)]
    meta = meta_of(content, path)
    classes = (meta.get('dataset_meta') or {}).get('classes')
    config = config_of(meta, students[0], path) if meta.get('cfg') else None
    return Cohort(students, None if classes is None else list(classes), config)
