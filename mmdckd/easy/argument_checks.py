# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks the arguments of ``distill`` that are neither data nor networks."""

import os
import os.path as osp
from typing import Any, Dict, Iterator, Optional

from mmdckd.errors import invalid
from mmdckd.values import is_whole

from .source import FILES, Data, Source


def check_numbers(num_students: Optional[int], seed: int, alone: bool) -> None:
    """Check whole numbers.

    Args:
        num_students (int, optional): The number of students; None means choose.
        seed (int): The seed.
        alone (bool): Whether there is no teacher.

    Raises:
        ValueError: If one is invalid.
    """
    for key, value, least in (('num_students', num_students, 1), ('seed', seed, 0)):
        if value is None and key == 'num_students':
            continue
        if not is_whole(value, least):
            raise invalid(key, f'a whole number of at least {least}', value)
    if seed >= 2**32:
        raise invalid('seed', 'a whole number below 2 ** 32', seed)
    if num_students == 1 and alone:
        raise ValueError(
            "Invalid `num_students`: expected at least 2 with `teacher='none'`, got "
            '1, which has nobody to learn from.'
        )


def check_apart(work_dir: str, data: Data, source: Source, unlabeled: str) -> None:
    """Check that a run does not write its figures among its images.

    Args:
        work_dir (str): The folder of the run.
        data (str | dict | Dataset): The labeled images as they were given.
        source (Source): The labeled images.
        unlabeled (str): The folder of the others; empty if there is none.

    Raises:
        ValueError: If the folder is one of images, or inside one.
    """
    if source.kind != FILES:
        return
    roots = [
        root
        for each in (source.train, source.val, source.test)
        if each
        for root in _roots(each)
    ]
    inside = osp.realpath(work_dir)
    for root in filter(None, [*roots, unlabeled]):
        if osp.join(inside, '').startswith(osp.join(osp.realpath(root), '')):
            raise invalid(
                'work_dir', f'a folder outside of the images in {root!r}', work_dir
            )
    # Beside train/, a test/ of the run would be the test images of the next one.
    if isinstance(data, (str, os.PathLike)) and inside == osp.realpath(data):
        raise invalid('work_dir', f'another folder than {str(data)!r}', work_dir)


def _roots(dataset: Dict[str, Any]) -> Iterator[str]:
    """Yield the folders that the config of a dataset, and of those in it, names."""
    root = dataset.get('data_root') or dataset.get('data_prefix')
    if isinstance(root, str) and root:
        yield root
    for value in dataset.values():
        if isinstance(value, dict):
            yield from _roots(value)
