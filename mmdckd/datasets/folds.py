# Copyright (c) mmdckd contributors. All rights reserved.
"""Divide training images into folds that never change."""

import hashlib
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import ConcatDataset

from mmdckd.errors import invalid
from mmdckd.io.data import ArraySpec, read_arrays
from mmdckd.io.files import replacing
from mmdckd.models.cohorts.batch_folds import NO_FOLD
from mmdckd.models.tasks.labels import NO_LABEL
from mmdckd.values import is_whole

#: One number an image.
Numbers = Union[Sequence[int], np.ndarray]

_SPECS = dict(
    identities=ArraySpec('u', 1),
    labels=ArraySpec('i', 1),
    folds=ArraySpec('i', 1),
    num_folds=ArraySpec('i', 0),
    seed=ArraySpec('i', 0),
)


def fold_table(
    labels: Numbers, identities: Numbers, num_folds: int, seed: int
) -> np.ndarray:
    """Assign every image to one of K folds, stratified by class.

    The distinct images of a class are sorted by a hash of ``seed`` and their
    identity, and dealt to the folds in turn, starting with fold c modulo K for
    class c. So the fold of an image depends on ``num_folds``, ``seed``, its
    identity and label, and the other images of its class. It does not depend on
    the order of the images, the number of copies, other classes, or the number
    of processes and workers. All copies of an image are in the same fold; if
    their labels differ, the smallest one is used.

    Args:
        labels (Sequence[int]): The labels of N images, -1 for none.
        identities (Sequence[int]): Their N identities; see
            :func:`image_identity`.
        num_folds (int): The number K of folds, 2 or more.
        seed (int): The seed of the division.

    Returns:
        np.ndarray: The folds (N,), 0 to K - 1; -1 if no copy of an image has a
        label.

    Raises:
        ValueError: If K is not a whole number from 2 on, a class has fewer than
            K distinct images, or all images of a class are in one fold.

    Examples:
        >>> fold_table([0, 0, 1, 1], [11, 12, 13, 14], num_folds=2, seed=0)
        array([0, 1, 0, 1])
    """
    if not is_whole(num_folds, least=2):
        raise invalid('num_folds', 'a whole number, 2 or more', num_folds)
    classes = np.asarray(labels, np.int64)
    known, places = np.unique(np.asarray(identities, np.uint64), return_inverse=True)
    label_of = np.full(len(known), np.iinfo(np.int64).max)
    labeled = classes != NO_LABEL
    np.minimum.at(label_of, places[labeled], classes[labeled])
    fold_of = np.full(len(known), NO_FOLD)
    for label in np.unique(classes[labeled]):
        members = np.flatnonzero(label_of == label)
        ordered = sorted(members, key=lambda place: _rank(seed, int(known[place])))
        fold_of[ordered] = (label + np.arange(len(members))) % num_folds
    folds = fold_of[places]
    _check_classes(classes, places, folds, num_folds)
    return folds


class Folds:
    """The folds of the images of a dataset.

    Args:
        identities (np.ndarray): The identities of N images, uint64.
        labels (np.ndarray): Their labels, -1 for none.
        num_folds (int): The number of folds.
        seed (int): The seed of the division.

    Attributes:
        folds (np.ndarray): The folds of the N images; see :func:`fold_table`.

    Raises:
        ValueError: See :func:`fold_table`.
    """

    def __init__(
        self, identities: Numbers, labels: Numbers, num_folds: int, seed: int
    ) -> None:
        self.identities = np.asarray(identities, np.uint64)
        self.labels = np.asarray(labels, np.int64)
        self.num_folds = num_folds
        self.seed = seed
        self.folds = fold_table(self.labels, self.identities, num_folds, seed)
        self._known, first = np.unique(self.identities, return_index=True)
        self._fold_of = self.folds[first]

    @classmethod
    def of(cls, dataset: Any, num_folds: int, seed: int) -> 'Folds':
        """Divide the images of a dataset, also inside wrappers.

        Args:
            dataset (Dataset): A dataset of MMPretrain, also inside wrappers of
                MMEngine.
            num_folds (int): The number of folds.
            seed (int): The seed of the division.
        """
        roots = image_roots(dataset)
        pairs = []
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            label = NO_LABEL if _hides_label(dataset, index) else _label(info)
            pairs.append((image_identity(info, roots), label))
        identities, labels = zip(*pairs) if pairs else ((), ())
        return cls(identities, labels, num_folds, seed)

    @property
    def digest(self) -> str:
        """str: A hash of the images, their labels and folds; it does not depend
        on their order."""
        order = np.lexsort((self.labels, self.identities))
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f'{self.num_folds} {self.seed}'.encode())
        for array in (self.identities, self.labels, self.folds):
            digest.update(np.ascontiguousarray(array[order]).tobytes())
        return digest.hexdigest()

    def fold_of(self, identity: int) -> Optional[int]:
        """Return the fold of an image, -1 for none; None if it is unknown."""
        place = int(np.searchsorted(self._known, np.uint64(identity)))
        if place == len(self._known) or self._known[place] != np.uint64(identity):
            return None
        return int(self._fold_of[place])

    def save(self, path: str) -> None:
        """Write the folds to a file, completely or not at all."""
        with replacing(path) as beside, open(beside, 'wb') as file:
            np.savez(
                file,
                identities=self.identities,
                labels=self.labels,
                folds=self.folds,
                num_folds=np.int64(self.num_folds),
                seed=np.int64(self.seed),
            )

    @classmethod
    def load(cls, path: str) -> 'Folds':
        """Read a file written by :meth:`save`.

        Raises:
            ValueError: If the file is damaged.
        """
        arrays = read_arrays(path, _SPECS)
        lengths = {len(arrays[name]) for name in ('identities', 'labels', 'folds')}
        folds = None
        if len(lengths) == 1:
            folds = cls(
                arrays['identities'],
                arrays['labels'],
                int(arrays['num_folds']),
                int(arrays['seed']),
            )
        if folds is None or not np.array_equal(folds.folds, arrays['folds']):
            raise ValueError(
                f'Invalid file {path!r}: expected the folds that follow from its '
                'images and seed, got others.'
            )
        return folds


def image_identity(info: Dict[str, Any], roots: Sequence[str] = ()) -> int:
    """Compute an identity of an image that does not depend on where its dataset
    is stored.

    Args:
        info (dict): The result of ``get_data_info`` of a dataset.
        roots (Sequence[str]): Folders of images; see :func:`image_roots`.

    Returns:
        int: A hash of the decoded pixels (``img``), if the dataset has them;
        otherwise of the path below the folder of images (``img_path``). Files
        are not read, so copies under two names are two images.

    Raises:
        ValueError: If the image has neither.
    """
    if 'img' in info:
        img = np.ascontiguousarray(info['img'])
        parts = [f'{img.dtype}{img.shape}'.encode(), img.tobytes()]
    elif 'img_path' in info:
        path = osp.abspath(str(info['img_path']))
        inside = [root for root in roots if path.startswith(osp.join(root, ''))]
        if inside:
            path = osp.relpath(path, max(inside, key=len))
        parts = [path.replace(osp.sep, '/').encode()]
    else:
        raise ValueError(
            'Invalid dataset: expected `img_path` or `img` of each image, which '
            f'determines its fold, got {sorted(info)}.'
        )
    return int.from_bytes(_hash(parts), 'little')


def image_roots(dataset: Any) -> List[str]:
    """Return the folders that contain the images of a dataset."""
    inner = getattr(dataset, 'dataset', None)
    several = getattr(dataset, 'datasets', None) or ([] if inner is None else [inner])
    if hasattr(dataset, 'image_roots'):  # a dataset made of another one
        return list(dataset.image_roots)
    if several:
        return [root for each in several for root in image_roots(each)]
    prefix = getattr(dataset, 'data_prefix', None) or {}
    root = prefix.get('img_path') or getattr(dataset, 'data_root', None)
    return [osp.abspath(root)] if root else []


def _check_classes(
    labels: np.ndarray, images: np.ndarray, folds: np.ndarray, num_folds: int
) -> None:
    """Check that every class has images in every fold and outside of it."""
    for label in np.unique(labels[labels != NO_LABEL]):
        of_class = labels == label
        distinct = len(np.unique(images[of_class]))
        if distinct < num_folds:
            raise ValueError(
                f'Invalid `num_folds`: expected at most {distinct}, the number of '
                f'different images of class {label}, got {num_folds}.'
            )
        if len(np.unique(folds[of_class])) < 2:
            raise ValueError(
                f'Invalid labels: expected images of class {label} in two or more '
                f'folds, got all in fold {folds[of_class][0]}, so a student that is '
                'blind to it cannot learn the class. They are copies of images of '
                'other classes.'
            )


def image_source(info: Dict[str, Any]) -> bytes:
    """Identify the source of an image: its file, or all its information except
    the label.

    Two datasets share an image, and not only an equal one, if the sources are
    the same.

    Args:
        info (dict): The result of ``get_data_info`` of a dataset.
    """
    if 'img_path' in info:
        return osp.realpath(str(info['img_path'])).encode()
    parts = []
    for key in sorted(set(info) - {'gt_label', 'gt_score', 'sample_idx'}):
        value = info[key]
        if isinstance(value, np.ndarray):
            value = np.ascontiguousarray(value).tobytes()
        parts += [
            key.encode(),
            value if isinstance(value, bytes) else repr(value).encode(),
        ]
    return _hash(parts)


def _hides_label(dataset: Any, index: int) -> bool:
    """Tell whether a wrapper marks an image as unlabeled."""
    inner = getattr(dataset, 'dataset', None)
    place: Any = getattr(dataset, '_get_ori_dataset_idx', None)
    if isinstance(dataset, ConcatDataset):
        number, index = place(index)
        return _hides_label(dataset.datasets[number], index)
    if inner is not None and hasattr(dataset, 'get_cat_ids'):
        return not dataset.get_cat_ids(index)
    return None not in (inner, place) and _hides_label(inner, place(index))


def _label(info: Dict[str, Any]) -> int:
    label = np.asarray(info.get('gt_label', NO_LABEL))
    if label.size != 1:
        raise ValueError(
            'Invalid dataset: expected one label an image, as folds are stratified '
            f'by class, got {label.tolist()}.'
        )
    return int(label.reshape(()))


def _rank(seed: int, identity: int) -> tuple:
    return _hash([str(seed).encode(), identity.to_bytes(8, 'little')]), identity


def _hash(parts: Sequence[bytes]) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, 'little') + part)
    return digest.digest()
