# Copyright (c) mmdckd contributors. All rights reserved.
import functools
from importlib.util import find_spec
from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmdckd.errors import invalid
from mmdckd.registry import DATASETS

from .stratified import stratified_subset

# In every class, in the order of the data, the last 36 images are the test split
# and the 36 before them the validation split.
_PARTS = dict(train=slice(None, -72), val=slice(-72, -36), test=slice(-36, None))


@DATASETS.register_module()
class Digits(BaseDataset):
    """Handwritten digits: 1,797 real images that come with scikit-learn.

    The test set of `Optical Recognition of Handwritten Digits
    <https://archive.ics.uci.edu/dataset/80>`_ (E. Alpaydin and C. Kaynak,
    UCI, 1998), as of
    :func:`sklearn.datasets.load_digits`; nothing is downloaded.

    An image is a uint8 array of shape (8, 8, 3). All three channels contain the
    gray value, scaled from 0..16 to 0..255, so every MMPretrain transform,
    network and visualizer accepts it, and a PNG file of it reads back the same.
    Images are already decoded: a pipeline needs no ``LoadImageFromFile``.

    The split is fixed and stratified, without random numbers. In every class,
    in the order of the data, the last 36 images are the test split, the 36
    before them the validation split, and the others the training split. The
    data lists whole forms of about 130 digits one after another, and no form is
    in both the training and the test split. This is harder than a random split
    and closer to real use, as nothing of a test digit's form has been seen.

    ===== ====== ==========================================================
    split images images of the classes 0 to 9
    ===== ====== ==========================================================
    train 1,077  106, 110, 105, 111, 109, 110, 109, 107, 102, 108
    val   360    36 each
    test  360    36 each
    ===== ====== ==========================================================

    Args:
        split (str): 'train', 'val' or 'test'. Defaults to 'train'.
        num_images (int, optional): The number of images of the split to keep,
            the same number for every class (or one more). The choice is fixed,
            and a smaller subset is part of a larger one. Defaults to None: all.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`,
            such as ``pipeline``.

    Raises:
        ValueError: If ``split`` has another value, or ``num_images`` is larger
            than the split.
        ImportError: If scikit-learn is not installed.

    Examples:
        >>> from mmdckd.datasets import Digits
        >>> digits = Digits(split='test')
        >>> len(digits)
        360
        >>> digits[0]['img'].shape, digits[0]['gt_label']
        ((8, 8, 3), 5)
    """

    METAINFO = dict(classes=tuple('0123456789'))

    def __init__(
        self, split: str = 'train', num_images: Optional[int] = None, **kwargs
    ) -> None:
        if split not in _PARTS:
            raise invalid('split', f'one of {list(_PARTS)}', split)
        self.split = split
        self.num_images = num_images
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the images and labels of the split.

        Returns:
            list[dict]: One dict an image, with ``img``, ``img_shape``,
            ``ori_shape`` and ``gt_label``.
        """
        pixels, labels = _pixels_and_labels()
        images = np.rint(pixels * (255 / 16)).astype(np.uint8)
        chosen = split_indices(labels, self.split)
        if self.num_images is not None:
            chosen = chosen[
                stratified_subset(labels[chosen], self.num_images, 10, 'num_images')
            ]
        data_list = []
        for index in chosen:
            img = np.repeat(images[index][..., None], 3, axis=-1)
            data_list.append(
                dict(
                    img=img,
                    img_shape=img.shape[:2],
                    ori_shape=img.shape[:2],
                    gt_label=int(labels[index]),
                )
            )
        return data_list

    def extra_repr(self) -> List[str]:
        """Add the split to the printed description of the dataset."""
        return [f'Split: \t{self.split}']


@functools.cache
def _pixels_and_labels() -> Tuple[np.ndarray, np.ndarray]:
    """The images (1797, 8, 8), from 0 to 16, and labels that
    :func:`sklearn.datasets.load_digits` returns, without its slow import."""
    package = find_spec('sklearn')
    if package is None or package.origin is None:
        raise ImportError(
            'mmdckd.Digits reads its images from scikit-learn, which is not '
            'installed: `pip install scikit-learn`.'
        )
    path = Path(package.origin).parent / 'datasets/data/digits.csv.gz'
    rows = np.loadtxt(path, delimiter=',')
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(int)


def split_indices(labels: np.ndarray, split: str) -> np.ndarray:
    """Select the images of a split.

    Args:
        labels (np.ndarray): The labels of all images, in the order of the
            data, of shape (1797,).
        split (str): 'train', 'val' or 'test'.

    Returns:
        np.ndarray: Indices of the split's images, ascending.
    """
    by_class = [
        np.flatnonzero(labels == label)[_PARTS[split]] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(by_class))
