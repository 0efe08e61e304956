# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np

from mmdckd.values import is_whole


def stratified_subset(
    labels: np.ndarray, number: int, num_classes: int, key: str
) -> np.ndarray:
    """Choose the same number of images of every class, or one more.

    The choice depends only on the arguments, and a smaller subset is part of a
    larger one.

    Args:
        labels (np.ndarray): The labels of all images, of shape (N,).
        number (int): The number of images to choose.
        num_classes (int): The number of classes.
        key (str): The config key of ``number``, for the error message.

    Returns:
        np.ndarray: The indices of the chosen images, ascending.

    Raises:
        ValueError: If ``number`` is not a whole number from 1 on, or a class
            has too few images.
    """
    counts = np.bincount(labels, minlength=num_classes)
    whole = is_whole(number, least=1)
    if whole:
        shares = number // num_classes + (np.arange(num_classes) < number % num_classes)
    if not whole or (shares > counts).any():
        raise ValueError(
            f'Invalid `{key}`: expected a number of images from 1 to '
            f'{counts.min() * num_classes}, got {number!r}.'
        )
    order = np.random.RandomState(0).permutation(len(labels))
    return np.sort(
        np.concatenate(
            [
                order[labels[order] == label][:share]
                for label, share in enumerate(shares)
            ]
        )
    )
