# Copyright (c) mmdckd contributors. All rights reserved.
"""Settings that fit the data, each with its reason."""

import os
from dataclasses import dataclass
from typing import List, Optional

from .source import Source

#: Images larger than this see random crops of other scales, as photographs
#: do; smaller ones, often glyphs or digits, are only moved.
SMALL = 64


@dataclass(frozen=True)
class Recipe:
    """How a student is trained.

    Attributes:
        image_size (int): The side of the square images that networks see.
        batch_size (int): Images in a batch.
        epochs (int): Passes over the training images.
        lr (float): The largest learning rate of SGD.
        num_workers (int): Processes that load images.
        log_interval (int): Steps from a line of the log to the next.
        reasons (List[str]): For each setting that was chosen, a line that
            tells the value and why.
    """

    image_size: int
    batch_size: int
    epochs: int
    lr: float
    num_workers: int
    log_interval: int
    reasons: List[str]

    @property
    def is_small(self) -> bool:
        """bool: Whether images are small, so that networks for 32x32 fit."""
        return self.image_size <= SMALL


def choose_recipe(
    folder: Source,
    image_size: Optional[int] = None,
    batch_size: Optional[int] = None,
    epochs: Optional[int] = None,
    lr: Optional[float] = None,
    pretrained: bool = False,
) -> Recipe:
    """Choose what is not given.

    Args:
        folder (Source): The data.
        image_size (int, optional): See :class:`Recipe`.
        batch_size (int, optional): See :class:`Recipe`.
        epochs (int, optional): See :class:`Recipe`.
        lr (float, optional): See :class:`Recipe`.
        pretrained (bool): Whether the students start from trained weights.
            Defaults to False.

    Returns:
        Recipe: All settings.

    Raises:
        ValueError: If a value is invalid, or a batch is larger than the data.
    """
    for name, value in dict(
        image_size=image_size, batch_size=batch_size, epochs=epochs
    ).items():
        if value is not None and value < 1:
            raise ValueError(
                f'Invalid `{name}`: expected a whole number, 1 or more, got {value!r}.'
            )
    reasons = []

    def choose(name, given, value, why):
        if given is not None:
            return given
        reasons.append(f'{name} = {value}: {why}')
        return value

    num_train = folder.num_train
    size = choose(
        'image_size',
        image_size,
        min(224, max(16, 8 * round(folder.short_side / 8))),
        f'the shorter side of half of the images has {folder.short_side} pixels or '
        'fewer; more than 224 costs much and helps little',
    )
    batch = choose(
        'batch_size',
        batch_size,
        max(2, min(64, num_train // 8)),
        f'at least 8 steps in an epoch of {num_train} images, at most 64 images',
    )
    if batch > num_train:
        raise ValueError(
            f'Invalid `batch_size`: expected at most {num_train}, the number of '
            f'training images, got {batch}.'
        )
    steps = max(1, num_train // batch)
    length = choose(
        'epochs',
        epochs,
        min(100, max(10, round(4000 / steps))),
        'about 4,000 steps, 10 to 100 epochs: a collective helps where more steps '
        'no longer do',
    )
    rate = choose(
        'lr',
        lr,
        round((0.005 if pretrained else 0.05) * batch / 64, 6),
        '0.05 of SGD in batches of 64 in the recipe of CRD, in proportion to the '
        'batch' + ('; a tenth, as the weights are trained' if pretrained else ''),
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1
    workers = 0 if size <= SMALL else min(4, cores)
    reasons.append(
        f'num_workers = {workers}: '
        + (
            'images this small load faster than they pass between processes'
            if workers == 0
            else f'{cores} processor cores'
        )
    )
    total = steps * length
    interval = max(1, min(50, total // 10, steps))
    reasons.append(f'log_interval = {interval}: at least ten lines in {total:,} steps')
    return Recipe(size, batch, length, rate, workers, interval, reasons)
