# Copyright (c) mmdckd contributors. All rights reserved.
"""Reads labeled images from a dataset object or config instead of a folder."""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

import numpy as np
import torch
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import IterableDataset

from mmdckd.datasets.pictures import as_bgr, is_input
from mmdckd.values import is_whole

from .folder_checks import check_faults
from .image_facts import look_at

#: How images come: as files, decoded, or as tensors that the networks receive
#: unchanged.
FILES, IMAGES, TENSORS = 'files', 'images', 'tensors'
#: Upper bound on the images that are examined, evenly spaced, if the labels are
#: known without loading all images.
SAMPLE = 1000


class Facts(NamedTuple):
    """What is known about a dataset.

    Attributes:
        labels (np.ndarray): The label of each image, (N,).
        shapes (List[tuple]): The heights and widths of images, or the shapes
            of tensors; of a sample, if there are many.
        kind (str): :data:`FILES`, :data:`IMAGES` or :data:`TENSORS`.
        classes (List[str], optional): The class names, if the dataset has them.
        config (dict): The config of the dataset, without ``pipeline``.
        objects (Dict[str, Any]): The Python objects that the config names.
    """

    labels: np.ndarray
    shapes: List[tuple]
    kind: str
    classes: Optional[List[str]]
    config: dict
    objects: Dict[str, Any]


def look_at_config(config: Mapping[str, Any], key: str) -> Facts:
    """Examine a dataset that is given as an MMPretrain config.

    Args:
        config (Mapping[str, Any]): The config. Its ``pipeline`` is not used.
        key (str): The argument that it was given as, for messages.

    Returns:
        Facts: What is known about it.

    Raises:
        ValueError: If it cannot be built, or is not a labeled dataset.
    """
    own = {name: value for name, value in config.items() if name != 'pipeline'}
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = DATASETS.build(dict(own, pipeline=[]))
            infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    except Exception as error:  # a dataset may raise anything
        raise ValueError(
            f'Invalid `{key}`: expected the config of an MMPretrain dataset, got '
            f'{own!r}, which cannot be built: {error}'
        ) from error
    labels = _whole([info.get('gt_label') for info in infos], key)
    some = infos[:: max(1, len(infos) // SAMPLE)]
    if 'img' in infos[0]:
        kind, shapes = IMAGES, [np.asarray(info['img']).shape[:2] for info in some]
    else:
        kind = FILES
        facts = [look_at(info['img_path'], decode=False) for info in some]
        check_faults(facts, own.get('data_root') or own['type'], key)
        shapes = [(fact.short_side, fact.short_side) for fact in facts]
    classes = dataset.metainfo.get('classes')
    return Facts(labels, shapes, kind, classes and list(classes), own, {})


def look_at_pairs(pairs: Any, key: str) -> Facts:
    """Examine a PyTorch dataset, or another sequence of (image, label) pairs.

    Every image is loaded once; if the dataset lists its ``targets``, as those
    of torchvision do, only a sample is.

    Args:
        pairs (Dataset): The dataset.
        key (str): The argument that it was given as, for messages; the config
            uses it as the name of the object.

    Returns:
        Facts: What is known about it.

    Raises:
        ValueError: If it has no length, or an item is not such a pair.
    """
    try:
        count = -1 if isinstance(pairs, IterableDataset) else len(pairs)
    except TypeError:
        count = -1
    if count < 0:
        raise ValueError(
            f'Invalid `{key}`: expected a dataset with a length and items by index, '
            f'got a {type(pairs).__name__} without. Implement __len__ and '
            '__getitem__.'
        )
    if count == 0:
        raise ValueError(f'Invalid `{key}`: expected images, got an empty dataset.')
    known = _targets(pairs, count)
    indices = range(0, count, 1 if known is None else max(1, count // SAMPLE))
    found = [_look_at_pair(pairs[index], index, key) for index in indices]
    labels = _whole([label for label, _, _ in found], key)
    if known is not None and np.array_equal(known[indices], labels):
        labels = known
    elif known is not None:
        rest = (pairs[index] for index in range(count))
        labels = _whole([_look_at_pair(p, i, key)[0] for i, p in enumerate(rest)], key)
    kinds = {kind for _, kind, _ in found}
    if len(kinds) > 1:
        raise ValueError(
            f'Invalid `{key}`: expected either images or float tensors, got both.'
        )
    classes = getattr(pairs, 'classes', None)
    return Facts(
        labels,
        [shape for _, _, shape in found],
        kinds.pop(),
        [str(name) for name in classes] if isinstance(classes, (list, tuple)) else None,
        dict(type='mmdckd.PairDataset', name=key),
        {key: (pairs, labels)},
    )


def _targets(pairs: Any, count: int) -> Optional[np.ndarray]:
    """Return the labels that a dataset lists, if it does."""
    try:
        labels = np.asarray(getattr(pairs, 'targets', None))
    except Exception:  # of lists of different lengths, for example
        return None
    return labels if labels.shape == (count,) and labels.dtype.kind in 'iu' else None


def _look_at_pair(pair: Any, index: int, key: str) -> Tuple[Any, str, tuple]:
    """Return the label of a pair, and the kind and shape of its image."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        several = f' of {len(pair)}' if isinstance(pair, (tuple, list)) else ''
        raise ValueError(
            f'Invalid `{key}`: expected (image, label) pairs, got a '
            f'{type(pair).__name__}{several} at index {index}.'
        )
    image, label = pair
    if is_input(image):
        return label, TENSORS, tuple(image.shape)
    return label, IMAGES, as_bgr(image, f'{key}[{index}]').shape[:2]


def _whole(labels: List[Any], key: str) -> np.ndarray:
    """Return labels as an array of whole numbers."""
    for index, label in enumerate(labels):
        value = label.item() if _is_scalar(label) else label
        if not is_whole(value, least=0):
            raise ValueError(
                f'Invalid `{key}`: expected labels that are whole numbers from 0, '
                f'got {label!r} for image {index}.'
            )
    return np.array([int(label) for label in labels])


def _is_scalar(label: Any) -> bool:
    return isinstance(label, np.generic) or (
        isinstance(label, (np.ndarray, torch.Tensor)) and label.ndim == 0
    )
