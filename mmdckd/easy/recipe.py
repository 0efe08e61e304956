# Copyright (c) mmdckd contributors. All rights reserved.
"""Chooses settings that fit the data and the device, each with its reason."""

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from mmengine.device import get_device

from mmdckd.models.options import check_bool
from mmdckd.values import is_finite_number, is_whole

from .source import TENSORS, Source

#: Larger images, usually photographs, get random crops at other scales; smaller
#: ones, often glyphs or digits, are only shifted.
SMALL = 64
#: Learning rate for batches of 64, and weight decay, of each optimizer.
OPTIMIZERS = dict(sgd=(0.05, 0.0005), adamw=(0.0005, 0.05))
#: With more labeled images than this, peers added nothing to a teacher on Glyph62;
#: see docs/reference/evidence.md.
FEW = 5000
#: The random changes of training images; see :mod:`mmdckd.easy.configs`.
AUGMENTATIONS = ('none', 'shift', 'flip', 'crop')


@dataclass(frozen=True)
class Recipe:
    """The settings of a training.

    Attributes:
        image_size (int): The side of the square images that networks see.
        augmentation (str): One of :data:`AUGMENTATIONS`.
        batch_size (int): Images per batch.
        drop_last (bool): Whether an incomplete last batch is dropped.
        epochs (int): Passes over the training images.
        optimizer (str): One of :data:`OPTIMIZERS`.
        lr (float): The highest learning rate.
        warm_up (int): The epochs in which the learning rate rises; then it
            falls as a cosine.
        amp (bool): Whether to train in mixed precision.
        num_workers (int): Processes that load images.
        log_interval (int): Steps between two lines of the log.
        chose_workers (bool): Whether ``num_workers`` was chosen, not given.
        reasons (List[str]): A line for each chosen setting, with its value and
            the reason.
    """

    image_size: int
    augmentation: str
    batch_size: int
    drop_last: bool
    epochs: int
    optimizer: str
    lr: float
    warm_up: int
    amp: bool
    num_workers: int
    log_interval: int
    chose_workers: bool
    reasons: List[str]

    @property
    def is_small(self) -> bool:
        """bool: Whether images are so small that networks for 32x32 fit."""
        return self.image_size <= SMALL


def choose_recipe(
    source: Source, pretrained: bool = False, device: Optional[str] = None, **given: Any
) -> Recipe:
    """Choose the settings that are not given.

    Args:
        source (Source): The data.
        pretrained (bool): Whether the students start from pretrained weights.
            Defaults to False.
        device (str, optional): The device, ``'cpu'`` or ``'cuda'``. Defaults to
            None, which means the one that MMEngine finds.
        **given: Settings of :class:`Recipe`; None means choose.

    Returns:
        Recipe: All settings.

    Raises:
        ValueError: If a value is invalid, or a batch is larger than the data.
    """
    given = {name: value for name, value in given.items() if value is not None}
    _check(given, source)
    chosen: Dict[str, Any] = {}
    reasons: List[str] = []

    def choose(name: str, value: Any, why: str) -> Any:
        if name not in given:
            shown = ('off', 'on')[value] if isinstance(value, bool) else value
            reasons.append(f'{name} = {shown}: {why}')
        chosen[name] = given.get(name, value)
        return chosen[name]

    device = device or get_device()
    reasons.append(
        f'device = {device}: '
        + ('torch finds no GPU' if device == 'cpu' else 'torch finds a GPU')
    )
    size = choose('image_size', *_image_size(source))
    choose('augmentation', *_augmentation(size, source.kind))
    batch = choose('batch_size', *_batch_size(source.num_train, device))
    rest = source.num_train % batch
    chosen['drop_last'] = rest == 1 < source.num_train
    if chosen['drop_last']:
        reasons.append(
            'drop_last = on: the last batch would be one image, too few for BatchNorm'
        )
    steps = max(1, source.num_train // batch)
    epochs = choose('epochs', *_epochs(steps))
    optimizer = choose('optimizer', 'sgd', 'it suits convolutional networks')
    choose('lr', *_lr(optimizer, batch, pretrained))
    choose(
        'warm_up',
        max(1, epochs // 20),
        'a twentieth of the epochs; then the learning rate falls as a cosine',
    )
    choose('amp', *_amp(size, device))
    choose('num_workers', *_num_workers(size, device))
    total = steps * epochs
    choose(
        'log_interval',
        max(1, min(50, total // 10, steps)),
        f'at least ten lines in {total:,} steps' if total >= 10 else 'a line per step',
    )
    chosen['chose_workers'] = 'num_workers' not in given
    return Recipe(**chosen, reasons=reasons)


def choose_students(num_labeled: int, alone: bool) -> Tuple[int, str]:
    """Choose how many students learn together.

    Args:
        num_labeled (int): The number of labeled training images.
        alone (bool): Whether there is no teacher.

    Returns:
        Tuple[int, str]: The number, and the reason.
    """
    if alone:
        return 4, 'without a teacher, students learn from each other'
    if num_labeled <= FEW:
        return 4, f'with at most {FEW:,} labeled images, peers can help'
    return 1, (
        f'with more than {FEW:,} labeled images, peers add nothing to a teacher, but '
        'more epochs do'
    )


def _check(given: Dict[str, Any], source: Source) -> None:
    """Check the settings that a user gives."""
    least = dict(image_size=1, batch_size=1, epochs=1, num_workers=0)
    for name, least_value in least.items():
        value = given.get(name, least_value)
        if not is_whole(value, least_value):
            raise ValueError(
                f'Invalid `{name}`: expected a whole number of at least {least_value}, '
                f'got {value!r}.'
            )
    check_bool('amp', given.get('amp', False))
    lr = given.get('lr', 1)
    if not is_finite_number(lr) or lr <= 0:
        raise ValueError(f'Invalid `lr`: expected a positive number, got {lr!r}.')
    for name, known in dict(optimizer=OPTIMIZERS, augmentation=AUGMENTATIONS).items():
        if name in given and given[name] not in known:
            raise ValueError(
                f'Invalid `{name}`: expected one of {", ".join(known)}, got '
                f'{given[name]!r}.'
            )
    if given.get('batch_size', 1) > source.num_train:
        raise ValueError(
            f'Invalid `batch_size`: expected at most {source.num_train}, the number of '
            f'training images, got {given["batch_size"]}.'
        )


def _image_size(source: Source) -> tuple:
    if source.kind == TENSORS:
        return source.short_side, 'tensors are used unchanged'
    return (
        min(224, max(32, 8 * round(source.short_side / 8))),
        f'the median of the shorter sides is {source.short_side} pixels; networks '
        'halve 32 pixels five times, and more than 224 helps little',
    )


def _augmentation(size: int, kind: str) -> tuple:
    if kind == TENSORS:
        return 'none', 'tensors are used unchanged; your dataset can augment them'
    if size <= SMALL:
        return 'shift', (
            'images this small are often characters, which mirroring would change'
        )
    return 'crop', 'photographs show the same object at any scale, also mirrored'


def _batch_size(num_train: int, device: str) -> tuple:
    most = 64 if device == 'cpu' else 128
    why = (
        f'about 8 steps per epoch of {num_train:,} images, at least 16 images for '
        f'BatchNorm and at most {most}'
    )
    return min(num_train, max(16, min(most, num_train // 8))), why


def _epochs(steps: int) -> tuple:
    why = 'about 4,000 steps, 10 to 100 epochs: distillation helps when more steps'
    return min(100, max(10, round(4000 / steps))), f'{why} no longer do'


def _lr(optimizer: str, batch: int, pretrained: bool) -> tuple:
    of_64 = OPTIMIZERS[optimizer][0]
    why = f'{of_64:g} for batches of 64, scaled with the batch size'
    if pretrained:
        of_64, why = of_64 / 10, f'{why}; a tenth, because the weights are pretrained'
    return round(of_64 * batch / 64, 8), why


def _amp(size: int, device: str) -> tuple:
    if device != 'cuda':
        return False, 'made for GPUs; few CPUs are faster with it'
    if size <= SMALL:
        return False, 'images this small do not keep a GPU busy anyway'
    return True, 'GPUs compute faster in half precision'


def _num_workers(size: int, device: str) -> tuple:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else 1
    if size <= SMALL:
        return 0, 'loading images this small is faster than passing them on'
    if device == 'cpu':
        return min(2, cores // 2), f'half of {cores} CPU cores, which also train'
    return min(8, cores), f'{cores} CPU cores'
