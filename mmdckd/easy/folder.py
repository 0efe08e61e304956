# Copyright (c) mmdckd contributors. All rights reserved.
"""A folder of images: what is in it, checked before anything is trained."""

import os
import os.path as osp
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import Dict, List, Optional, Sequence

from mmdckd.datasets.load_image import fault_of
from mmdckd.io.images import find_files, open_image, size_fault

ENDINGS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')
#: How many images of a part are opened to learn how large images are.
SAMPLE = 1000
_SHOWN = 5


@dataclass(frozen=True)
class Folder:
    """Labelled images in folders.

    Attributes:
        path (str): The folder.
        train (str): The folder with a subfolder of each class to train on.
        val (str, optional): The same to validate with; None where a part of
            ``train`` has to be split off.
        test (str, optional): The same to test with, where there is one.
        classes (List[str]): The names of the classes, in order.
        counts (Dict[str, int]): How many images of each class ``train`` has.
        short_side (int): The median of the shorter sides of its images, in
            pixels.
    """

    path: str
    train: str
    val: Optional[str]
    test: Optional[str]
    classes: List[str]
    counts: Dict[str, int]
    short_side: int

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def num_classes(self) -> int:
        """int: How many classes there are."""
        return len(self.classes)


def read_folder(path: str) -> Folder:
    """Look at a folder of labelled images.

    It has a subfolder for each class; or ``train``, ``val`` (or ``valid``,
    ``validation``) and ``test``, each with a subfolder for each class, of
    which ``train`` alone is needed.

    Args:
        path (str): The folder.

    Returns:
        Folder: What is in it.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has fewer than two classes, a class has too few
            images, the parts have other classes, or images cannot be read.
    """
    if not osp.isdir(path):
        raise FileNotFoundError(f'Invalid `data`: there is no folder {path!r}.')
    parts = {name.lower(): osp.join(path, name) for name in _subfolders(path)}
    train = parts.get('train', path)
    val, test = None, None
    if 'train' in parts:
        val = next(
            (parts[name] for name in ('val', 'valid', 'validation') if name in parts),
            None,
        )
        test = parts.get('test')
    classes = _subfolders(train)
    if len(classes) < 2:
        raise ValueError(
            f'Invalid `data`: expected a subfolder of images for each of two or more '
            f'classes, got {len(classes)} in {train!r}.'
        )
    files = {name: find_files(osp.join(train, name), ENDINGS)[0] for name in classes}
    counts = {name: len(found) for name, found in files.items()}
    least = 1 if val else 2
    few = [f'{name!r} ({n})' for name, n in counts.items() if n < least]
    if few:
        wanted = 'an image' if val else 'two images, one to validate with,'
        raise ValueError(
            f'Invalid `data`: expected at least {wanted} of each class in {train!r}, '
            f'got fewer of {_shorten(few)}.'
        )
    for part in filter(None, (val, test)):
        theirs = _subfolders(part)
        if theirs != classes:
            differ = sorted(set(theirs) ^ set(classes))
            raise ValueError(
                f'Invalid `data`: expected the classes of {train!r} in {part!r}, '
                f'got others: {_shorten(differ)}.'
            )
    sides = _short_sides([file for found in files.values() for file in found], train)
    return Folder(path, train, val, test, classes, counts, round(median(sides)))


def _subfolders(path: str) -> List[str]:
    """The folders in a folder, as MMPretrain orders classes."""
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith('.')
    )


def _short_sides(files: Sequence[str], folder: str) -> List[int]:
    """The shorter sides of images, of a sample where there are many.

    Raises:
        ValueError: If some of them cannot be read.
    """
    step = max(1, len(files) // SAMPLE)
    sides, faults = [], []
    for path in files[::step]:
        with open(path, 'rb') as file:
            content = file.read()
        fault = size_fault(content) or fault_of(content)
        if fault:
            faults.append(f'{path}: {fault}')
            continue
        with open_image(content) as image:
            sides.append(min(image.size))
    if faults:
        kinds = Counter(line.rpartition(': ')[2] for line in faults)
        raise ValueError(
            f'Invalid `data`: {len(faults)} of {len(files[::step])} images in '
            f'{folder!r} cannot be read ({kinds.most_common(1)[0][0]}): '
            f'{_shorten(faults)}. Mend or remove them.'
        )
    return sides


def _shorten(items: Sequence[str]) -> str:
    rest = len(items) - _SHOWN
    return ', '.join(items[:_SHOWN]) + (f' and {rest} more' if rest > 0 else '')
