# Copyright (c) mmdckd contributors. All rights reserved.
"""Labeled images to learn from: a folder, a dataset or its config."""

import hashlib
import os
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Dict, List, Mapping, Optional, Union

import numpy as np
from torch.utils.data import Dataset

from mmdckd.datasets.fashion_mnist import FILES as CLOTHES
from mmdckd.datasets.fashion_mnist import FashionMNIST
from mmdckd.datasets.stratified_part import stratified_part
from mmdckd.errors import invalid, shorten
from mmdckd.names import distinct_names

from .folder import Folder, read_folder
from .given_data import FILES, IMAGES, TENSORS, Facts, look_at_config, look_at_pairs

#: The data of a distillation: a folder, the config of an MMPretrain dataset, or
#: a PyTorch dataset.
Data = Union[str, 'os.PathLike[str]', Mapping[str, Any], Dataset]


@dataclass(frozen=True)
class Source:
    """Labeled images to learn from.

    Attributes:
        name (str): A name for messages.
        train (dict): The config of the training dataset, without its
            ``pipeline``.
        val (dict): The config of the validation dataset.
        test (dict, optional): The config of the test dataset, if there is one.
        classes (List[str]): The names of the classes, in order.
        counts (Dict[str, int]): The number of images per class, including those
            that are split off for validation.
        short_side (int): The median of the images' shorter sides, in pixels.
        num_train (int): The number of training images.
        kind (str): How images come: :data:`FILES`, :data:`IMAGES` or
            :data:`TENSORS`.
        warnings (List[str]): What a user should know about the images.
        objects (Dict[str, Any]): The Python objects that the configs name;
            see :mod:`mmdckd.io.given`.
        digest (str): A digest of the images in a folder; ``''`` for other data.
        labels (str): A digest of the labels of other data; ``''`` for a folder.
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
    digest: str = ''
    labels: str = ''

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def num_classes(self) -> int:
        """int: The number of classes."""
        return len(self.classes)


def read_source(
    data: Data, val_data: Optional[Data] = None, image_size: Optional[int] = None
) -> Source:
    """Read labeled images and check them.

    Args:
        data (str | dict | Dataset): A folder, see
            :func:`~mmdckd.easy.folder.read_folder`, or the folder of the files
            of :class:`~mmdckd.datasets.FashionMNIST`; the config of an
            MMPretrain dataset; or a PyTorch dataset of (image, label) pairs.
        val_data (dict | Dataset, optional): The validation data, in one
            of the last two forms. Defaults to None: a folder may have its own
            validation part; otherwise a fifth of each class is split off.
        image_size (int, optional): The side that images are resized to.
            Defaults to None.

    Returns:
        Source: The labeled images.

    Raises:
        FileNotFoundError: If the folder does not exist.
        TypeError: If ``data`` is none of these.
        ValueError: If the data are invalid.
    """
    if isinstance(data, (str, os.PathLike)):
        if val_data is not None:
            raise ValueError(
                'Invalid `val_data`: expected None for a folder, which may have a '
                f'subfolder val/, got {val_data!r}.'
            )
        path = os.fspath(data)
        if _holds_fashion_mnist(path):
            return _of_fashion_mnist(path)
        return _of_folder(read_folder(path))
    if isinstance(val_data, (str, os.PathLike)):
        raise invalid('val_data', 'a dataset or its config, like `data`', val_data)
    train = _look_at(data, 'data')
    val = None if val_data is None else _look_at(val_data, 'val_data')
    return _of_facts(_name_of(data), train, val, image_size)


def _look_at(data: Data, key: str) -> Facts:
    if isinstance(data, Mapping):
        return look_at_config(data, key)
    if hasattr(data, '__getitem__') or isinstance(data, Dataset):
        return look_at_pairs(data, key)
    folder = 'a folder, ' if key == 'data' else ''
    raise TypeError(
        f'Invalid `{key}`: expected {folder}the config of a dataset or a PyTorch '
        f'dataset, got a {type(data).__name__}.'
    )


def _name_of(data: Data) -> str:
    name = data.get('type') if isinstance(data, Mapping) else type(data).__name__
    return str(name)


def _of_facts(
    name: str, train: Facts, val: Optional[Facts], image_size: Optional[int]
) -> Source:
    count = int(train.labels.max()) + 1
    # Names of that many classes could exhaust memory.
    if train.classes is None and count > len(train.labels):
        raise ValueError(
            'Invalid `data`: expected labels from 0 to the number of classes - 1, got '
            f'{count - 1} among the labels of {len(train.labels)} images. Number the '
            'classes from 0 on.'
        )
    classes = train.classes or [str(label) for label in range(count)]
    if len(classes) < count:
        raise ValueError(
            f'Invalid `data`: expected labels below {len(classes)}, the number of '
            f'classes, got {count - 1}.'
        )
    counts = np.bincount(train.labels, minlength=len(classes)).tolist()
    by_class = dict(zip(distinct_names(classes), counts))
    _check_counts(by_class, 2 if val is None else 1)
    if val is not None:
        _check_val(train, val, len(classes))
    _check_shapes([train] if val is None else [train, val], image_size)

    def dataset(facts: Facts, part: Optional[str]) -> dict:
        config: dict = dict(facts.config)
        if config['type'] != 'mmdckd.PairDataset' and (part or facts.kind == IMAGES):
            # MMPretrain's datasets of decoded images are RGB.
            config = dict(type='mmdckd.DatasetPart', dataset=config)
            config['rgb'] = facts.kind == IMAGES
        if part is not None:
            config['part'] = part
        if facts.kind == TENSORS and image_size is not None:
            config['size'] = image_size
        if facts.objects or train.classes is None:
            config['metainfo'] = dict(classes=classes)
        return config

    split = val is None
    return Source(
        name=name,
        train=dataset(train, 'train' if split else None),
        val=dataset(train if val is None else val, 'val' if split else None),
        test=None,
        classes=classes,
        counts=by_class,
        short_side=round(median(min(shape[-2:]) for shape in train.shapes)),
        num_train=len(stratified_part(train.labels, 'train' if split else None)),
        kind=train.kind,
        objects={**train.objects, **(val.objects if val is not None else {})},
        labels=_digest([train] if val is None else [train, val]),
    )


def _digest(parts: List[Facts]) -> str:
    labels = [facts.labels.tolist() for facts in parts]
    return hashlib.blake2b(repr(labels).encode(), digest_size=16).hexdigest()


def _check_counts(counts: Dict[str, int], least: int) -> None:
    if len(counts) < 2:
        raise ValueError(
            f'Invalid `data`: expected at least two classes, got {len(counts)}.'
        )
    few = [f'{name!r} ({count})' for name, count in counts.items() if count < least]
    if few:
        wanted = 'one image' if least == 1 else 'two images, one for validation,'
        raise ValueError(
            f'Invalid `data`: expected at least {wanted} of each class, with labels '
            f'from 0 to {len(counts) - 1}, got fewer for {shorten(few)}.'
        )


def _check_val(train: Facts, val: Facts, num_classes: int) -> None:
    others = val.classes and train.classes and val.classes != train.classes
    if others or val.labels.max() >= num_classes:
        raise ValueError(
            f'Invalid `val_data`: expected the {num_classes} classes of `data`, got '
            f'labels up to {val.labels.max()} of the classes {val.classes}.'
        )
    if val.kind != train.kind:
        raise ValueError(
            f'Invalid `val_data`: expected {train.kind}, as in `data`, got {val.kind}.'
        )


def _check_shapes(parts: List[Facts], image_size: Optional[int]) -> None:
    """Check that tensors, which stay unchanged, have one size."""
    if parts[0].kind != TENSORS:
        return
    shapes = sorted({shape for facts in parts for shape in facts.shapes})
    sizes = {shape if image_size is None else shape[:-2] for shape in shapes}
    if len(sizes) > 1 or any(len(shape) != 3 for shape in shapes):
        raise ValueError(
            'Invalid `data`: expected tensors (C, H, W) of one size, got '
            f'{shorten([str(shape) for shape in shapes])}. Set `image_size` to '
            'resize them.'
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
        digest=folder.digest,
    )


def _holds_fashion_mnist(path: str) -> bool:
    names = [*CLOTHES, *(name[: -len('.gz')] for name in CLOTHES)]
    return any(os.path.isfile(os.path.join(path, name)) for name in names)


def _of_fashion_mnist(path: str) -> Source:
    def dataset(split: str) -> dict:
        return dict(type='mmdckd.FashionMNIST', data_root=path, split=split)

    # Read all four files, so that a missing one is reported at once.
    clothes, _ = FashionMNIST(path, 'trainval'), FashionMNIST(path, 'test')
    counts = np.bincount(clothes.get_gt_labels()).tolist()
    return Source(
        name=path,
        train=dataset('train'),
        val=dataset('val'),
        test=dataset('test'),
        classes=list(clothes.CLASSES),
        counts=dict(zip(clothes.CLASSES, counts)),
        short_side=28,
        num_train=len(FashionMNIST(path, 'train')),
        kind=IMAGES,
    )
