# Copyright (c) mmdckd contributors. All rights reserved.
"""Labelled images, wherever they come from."""

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Union

from torch.utils.data import Dataset

from .folder import Folder, read_folder

#: What distillation learns from: a folder, the config of a dataset of
#: MMPretrain, or a dataset of PyTorch.
Data = Union[str, 'os.PathLike[str]', Mapping[str, Any], Dataset]
#: How images come: from files, decoded, or as tensors that networks take as
#: they are.
FILES, IMAGES, TENSORS = 'files', 'images', 'tensors'


@dataclass(frozen=True)
class Source:
    """Labelled images to learn from.

    Attributes:
        name (str): What they are called, for messages.
        train (dict): The config of the dataset to train on, without its
            ``pipeline``.
        val (dict): The same to validate with.
        test (dict, optional): The same to test with, where there is one.
        classes (List[str]): The names of the classes, in order.
        counts (Dict[str, int]): How many images of each class there are to
            learn from and to split off.
        short_side (int): The median of the shorter sides of the images, in
            pixels.
        num_train (int): How many images there are to learn from.
        kind (str): How images come: :data:`FILES`, :data:`IMAGES` or
            :data:`TENSORS`.
        warnings (List[str]): What a user should know about the images.
        objects (Dict[str, Any]): The Python objects that the configs name;
            see :mod:`mmdckd.io.given`.
    """

    name: str
    train: dict
    val: dict
    test: Optional[dict]
    classes: List[str]
    counts: Dict[str, int]
    short_side: int
    num_train: int
    kind: str = FILES
    warnings: List[str] = field(default_factory=list)
    objects: Dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def num_classes(self) -> int:
        """int: How many classes there are."""
        return len(self.classes)


def read_source(data: Data, val_data: Optional[Data] = None) -> Source:
    """Look at labelled images.

    Args:
        data (str | dict | Dataset): A folder, see
            :func:`~mmdckd.easy.folder.read_folder`.
        val_data (str | dict | Dataset, optional): What to validate with.
            Defaults to None: a folder may have a part for it; else it is
            split off.

    Returns:
        Source: What is there.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If the data are invalid.
    """
    if isinstance(data, (str, os.PathLike)):
        return _of_folder(read_folder(os.fspath(data)))
    raise TypeError(
        'Invalid `data`: expected a folder, the config of a dataset or a dataset of '
        f'PyTorch, got a {type(data).__name__}.'
    )


def _of_folder(folder: Folder) -> Source:
    def dataset(path: str, part: Optional[str] = None) -> dict:
        own = dict(type='mmdckd.ImageFolder', data_root=path)
        return own if part is None else dict(own, part=part)

    split = folder.val is None
    return Source(
        name=folder.train,
        train=dataset(folder.train, 'train' if split else None),
        val=dataset(folder.val or folder.train, 'val' if split else None),
        test=None if folder.test is None else dataset(folder.test),
        classes=folder.classes,
        counts=folder.counts,
        short_side=folder.short_side,
        num_train=folder.num_train,
        warnings=folder.warnings,
    )
