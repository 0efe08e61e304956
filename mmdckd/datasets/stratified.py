# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np


def stratified_subset(
    labels: np.ndarray, number: int, num_classes: int, key: str
) -> np.ndarray:
    """Choose images so that every class has the same share, or one more.

    The choice depends on nothing but the arguments, and a smaller one is part
    of a larger one.

    Args:
        labels (np.ndarray): The labels of all images, of shape (N,).
        number (int): How many to choose.
        num_classes (int): How many classes there are.
        key (str): The config key of ``number``, for the message.

    Returns:
        np.ndarray: The indices of the chosen ones, ascending.

    Raises:
        ValueError: If ``number`` is no whole number from 1 on, or a class has
            fewer images than its share.
    """
    counts = np.bincount(labels, minlength=num_classes)
    whole = isinstance(number, int) and not isinstance(number, bool)
    if whole:
        shares = number // num_classes + (np.arange(num_classes) < number % num_classes)
    if not whole or number < 1 or (shares > counts).any():
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
