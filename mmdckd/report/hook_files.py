# Copyright (c) mmdckd contributors. All rights reserved.
"""Read the files that hooks of mmdckd write beside the log of a run."""

from typing import Any, Dict, List

import numpy as np

from mmdckd.io.data import ArraySpec, read_arrays, read_json

#: The file with the results of :meth:`mmdckd.evaluation.CohortSums.arrays` and
#: :meth:`mmdckd.evaluation.Predictions.arrays`.
STATISTICS = dict(
    members=ArraySpec('U', 1),
    students=ArraySpec('U', 1),
    classes=ArraySpec('U', 1),
    tau=ArraySpec('fiu', 0),
    step=ArraySpec('iu', 0),
    bins=ArraySpec('f', 3),
    agreement=ArraySpec('f', 2),
    correlation=ArraySpec('f', 3, optional=True),
    confusion=ArraySpec('iu', 3, optional=True),
    labels=ArraySpec('iu', 1, optional=True),
    top=ArraySpec('iu', 2, optional=True),
    confidence=ArraySpec('f', 2, optional=True),
    numbers=ArraySpec('i', 1, optional=True),
    files=ArraySpec('u', 1, optional=True),
)


def read_statistics(path: str) -> Dict[str, np.ndarray]:
    """Read the records of ``CohortStatisticsHook``.

    Raises:
        ValueError: If the file is invalid; the message names it.
    """
    arrays = read_arrays(path, STATISTICS)
    members, classes = len(arrays['members']), len(arrays['classes'])
    own = len(arrays['bins'])
    for name, shape in dict(
        correlation=(members, classes, classes),
        confusion=(own, classes, classes),
        agreement=(own, own),
    ).items():
        if name in arrays and arrays[name].shape != shape or own > members:
            raise ValueError(
                f'Invalid file {path!r}: expected {name!r} of shape {shape}, '
                f'got {arrays[name].shape}.'
            )
    if 'labels' in arrays:
        _check_predictions(arrays, path)
    if not set(arrays['students']) <= set(arrays['members'][:own]):
        raise ValueError(
            f'Invalid file {path!r}: expected students that are members, got others.'
        )
    return arrays


def _check_predictions(arrays: Dict[str, np.ndarray], path: str) -> None:
    """Check that the arrays of predictions are consistent."""
    own, images = len(arrays['bins']), len(arrays['labels'])
    shapes = dict(top=(own, images), confidence=(own, images), numbers=(images,))
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape:
            raise ValueError(f'Invalid file {path!r}: expected {name!r} of {shape}.')
    for name in ('labels', 'top'):
        array, classes = arrays[name], len(arrays['classes'])
        if array.size and not 0 <= array.min() <= array.max() < classes:
            raise ValueError(
                f'Invalid file {path!r}: expected {name!r} with {classes} classes, '
                'got others.'
            )


def read_members(path: str) -> List[Dict[str, Any]]:
    """Read the records of ``CohortSummaryHook``.

    Raises:
        ValueError: If the file is invalid; the message names it.
    """
    members = read_json(path)
    kinds = dict(
        name=str, role=str, network=str, parameters=int, macs=int, sources=dict
    )
    if not isinstance(members, list) or not all(
        isinstance(member, dict)
        and {*member} == {*kinds}
        and all(isinstance(member[key], kind) for key, kind in kinds.items())
        and all(
            isinstance(names, list) and all(isinstance(name, str) for name in names)
            for names in member['sources'].values()
        )
        for member in members
    ):
        raise ValueError(
            f'Invalid file {path!r}: expected a list of members '
            f'with {", ".join(kinds)}.'
        )
    return members
