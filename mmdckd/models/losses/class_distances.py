# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from zipfile import BadZipFile

import numpy as np
import torch


def read_distances(path: str) -> torch.Tensor:
    """Read the distances between classes from a file.

    Args:
        path (str): An ``.npy`` file of distances (C, C), 0 or more, with 0 on the
            diagonal.

    Returns:
        Tensor: (C, C), in float32.

    Raises:
        ValueError: If the file does not exist or is invalid; the message names
            the option ``cost``.
    """
    if not osp.isfile(path):
        raise ValueError(
            'Invalid `cost`: expected an existing .npy file of distances between '
            f'classes, got {path!r}.'
        )
    try:
        distances = torch.from_numpy(np.load(path, allow_pickle=False)).float()
    except (EOFError, TypeError, ValueError, BadZipFile) as error:
        raise ValueError(
            f'Invalid `cost`: expected an .npy file of numbers, got {path!r}: {error}'
        ) from error
    shape = tuple(distances.shape)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise ValueError(
            'Invalid `cost`: expected distances of shape (C, C), '
            f'got {shape} in {path!r}.'
        )
    # A 0 may be slightly negative by rounding.
    if not distances.isfinite().all() or distances.min() < -1e-3:
        raise ValueError(
            'Invalid `cost`: expected finite distances, 0 or '
            f'more, got {distances.min():g} to '
            f'{distances.max():g} in {path!r}.'
        )
    if distances.diagonal().max() > 1e-3:
        raise ValueError(
            'Invalid `cost`: expected distances, 0 of a class to itself, got '
            f'{distances.diagonal().max():g} in {path!r}. If these are similarities '
            'up to 1, give 1 minus them.'
        )
    return distances
