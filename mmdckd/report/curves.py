# Copyright (c) mmdckd contributors. All rights reserved.
"""Read the values of every member over a run."""

import os
from typing import Any, Dict, Iterable, Iterator, List, Union

from mmdckd import names
from mmdckd.io.data import is_number, read_lines

from .measures import ACCURACY

Curves = Dict[str, Dict[int, float]]


def read_curves(scalars: Union[str, os.PathLike], metric: str = ACCURACY) -> Curves:
    """Read the metric of every member of a cohort in each validation of a run.

    Args:
        scalars (str | PathLike): Path of the ``scalars.json`` that MMEngine
            writes into ``<work_dir>/<time>/vis_data``.
        metric (str): The name of the metric. Defaults to
            ``'accuracy/top1'``.

    Returns:
        Dict[str, Dict[int, float]]: Member to step (the epoch, with
        ``EpochBasedTrainLoop``) to value. The members are the students,
        ``ensemble``, ``best`` and ``teacher``, if the run has them, or
        ``model`` for a single network.
    """
    return curves_of(read_records(scalars), metric)


def read_records(scalars: Union[str, os.PathLike]) -> Iterator[Dict[str, Any]]:
    """Read the values that a run has logged so far.

    Args:
        scalars (str | PathLike): Path of a ``scalars.json``.

    Yields:
        Dict[str, Any]: Name to value, and ``step``.

    Raises:
        ValueError: If a line is not an object of numbers with a whole ``step``;
            the message names the file and the line.
    """
    for where, record in read_lines(os.fspath(scalars)):
        if not (
            isinstance(record.get('step'), int) and all(map(is_number, record.values()))
        ):
            raise ValueError(
                f'Invalid {where}: expected numbers by name and a whole `step`, got '
                'others.'
            )
        yield record


def curves_of(records: Iterable[Dict[str, Any]], metric: str) -> Curves:
    """Find the curve of every member.

    Args:
        records (Iterable[Dict[str, Any]]): The records of :func:`read_records`.
        metric (str): The name of the metric.

    Returns:
        Dict[str, Dict[int, float]]: See :func:`read_curves`.
    """
    curves: Curves = {}
    for record in records:
        for key, value in record.items():
            member = names.member_of(key, metric)
            if member is not None:
                curves.setdefault(member, {})[record['step']] = value
    return curves


def students_of(curves: Curves) -> List[str]:
    """Return the names of the students among the members of curves."""
    return names.of_role(curves, names.STUDENT)
