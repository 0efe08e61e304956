# Copyright (c) mmdckd contributors. All rights reserved.
"""Read and check the untrusted checkpoint of a cohort."""

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
    """Split the state dict of a cohort into one for each student, with the keys
    that it has outside the cohort."""
    students: Dict[str, Any] = {}
    if not isinstance(state_dict, dict):
        raise ValueError(
            f'Invalid checkpoint {path!r}: expected a dict under "state_dict", got '
            f'a {type(state_dict).__name__}.'
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
                    f'Invalid checkpoint {path!r}: expected a tensor under {key!r}, '
                    f'got a {type(value).__name__}.'
                )
            students[name][own_key] = value
    if not students:
        raise ValueError(
            f'Invalid checkpoint {path!r}: expected the checkpoint of a '
            f'CollectiveDistill, with keys that start with {parameter_prefix()!r}, '
            f'got the keys {list(state_dict)[:4]}, ...'
        )
    # The versions of modules, which some of them need to read older files.
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
                f'Invalid `student`: expected one of {names}, as {path!r} was saved '
                'before any validation by mmdckd.CollectiveValLoop and has no best '
                "student, got 'best'."
            )
        if best.note:
            warn(f'{path}: {best.note}. Give a name to export another student.')
        student = best.name
    return choose_student(student, names, path)


def meta_of(content: dict, path: str) -> Dict[str, Any]:
    """Read and check the metadata of a checkpoint.

    Raises:
        ValueError: If their form differs from what MMEngine writes.
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
    """Read, without running code, the part of a run's config that a student needs.

    If ``meta['students']`` has the student's config, it is used, so that no
    ``cfg_path`` has to exist. Older checkpoints do not have it.

    Args:
        meta (dict): The metadata from :func:`meta_of`.
        name (str): The name of the student.
        path (str): The path of the checkpoint, for the error message.

    Raises:
        ValueError: If there is no config, or it contains more than values.
    """
    if not meta.get('cfg'):
        raise ValueError(
            f'Invalid checkpoint {path!r}: expected a config in its metadata, got '
            'none. Give the config of its run.'
        )
    try:
        cfg = parse_config_text(meta['cfg'])
        own = (meta.get('students') or {}).get(name)
        if own is not None:
            check_values(own, f'meta.students.{name}')
            cfg.model = dict(students={name: own})
            cfg.pop('data_preprocessor', None)  # the student has its own
    except ValueError as error:
        raise ValueError(
            f'Invalid checkpoint {path!r}: expected a config of plain values, got '
            f'another ({error}). Give the config of its run.'
        ) from error
    return cfg


class Cohort(NamedTuple):
    """The parts of a checkpoint that an export needs.

    Attributes:
        students (List[str]): The names of the requested students.
        classes (List[str], optional): The names of the classes.
        config (Config, optional): The config of the run; None if the checkpoint
            has none, or it was not asked for.
    """

    students: List[str]
    classes: Optional[List[str]]
    config: Optional[Config]


def read_cohort(path: str, student: str, with_config: bool = True) -> Cohort:
    """Read the parts of a checkpoint that an export needs.

    Args:
        path (str): The checkpoint.
        student (str): The name of a student, ``'best'`` or ``'all'``.
        with_config (bool): Whether to read the config. Defaults to True.

    Returns:
        Cohort: The parts of the checkpoint.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is not the checkpoint of a cohort, does not have the
            student, or its config contains more than values.
    """
    content = read_checkpoint(path, 'checkpoint')
    students = list(students_of(content.get('state_dict', content), path))
    if student != ALL:
        students = [choose(student, students, content, path)]
    meta = meta_of(content, path)
    classes = (meta.get('dataset_meta') or {}).get('classes')
    config = None
    if with_config and meta.get('cfg'):
        config = config_of(meta, students[0], path)
    return Cohort(students, None if classes is None else list(classes), config)
