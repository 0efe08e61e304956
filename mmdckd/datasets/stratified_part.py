# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import numpy as np

from mmdckd.errors import invalid

PARTS = (None, 'train', 'val')
#: The share of ``'val'``; each part gets at least one sample of each class.
VAL_RATIO = 0.2


def stratified_part(labels: np.ndarray, part: Optional[str]) -> np.ndarray:
    """Choose the samples of one part of a stratified split.

    Args:
        labels (np.ndarray): The labels of all samples, of shape (N,).
        part (str, optional): ``'train'``, ``'val'``, or None for all.

    Returns:
        np.ndarray: The indices of the samples, ascending.

    Raises:
        ValueError: If ``part`` has another value, or it is set and a class has
            a single sample.
    """
    if part not in PARTS:
        raise invalid('part', f'one of {PARTS}', part)
    if part is None:
        return np.arange(len(labels))
    order = np.random.RandomState(0).permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        group = order[labels[order] == label]
        if len(group) < 2:
            expected = 'None, as a class has a single sample'
            raise invalid(
                'part', expected, part, f' The label of the sample is {label}.'
            )
        num_val = min(max(1, round(VAL_RATIO * len(group))), len(group) - 1)
        chosen.append(group[:num_val] if part == 'val' else group[num_val:])
    return np.sort(np.concatenate(chosen))
