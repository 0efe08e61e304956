# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmdckd.errors import invalid
from mmdckd.registry import DATASETS

from .stratified import stratified_subset

# Of every class, in the order of the data: the last 36 images are tested on,
# the 36 before them validate, the rest trains.
_PARTS = dict(train=slice(None, -72), val=slice(-72, -36), test=slice(-36, None))


@DATASETS.register_module()
class Digits(BaseDataset):
    """Handwritten digits, 1,797 real images that come with scikit-learn.

    The test set of `Optical Recognition of Handwritten Digits
    <https://archive.ics.uci.edu/dataset/80>`_ (E. Alpaydin and C. Kaynak,
    UCI, 1998), read by :func:`sklearn.datasets.load_digits`; nothing is
    downloaded.

    An image is a uint8 array of shape (8, 8, 3): its gray value, scaled from
    0..16 to 0..255, stands in all three channels, so every MMPretrain
    transform, network and visualizer takes it, and a PNG file of it reads
    back the same. Images come decoded: a pipeline needs no
    ``LoadImageFromFile``.

    The split is fixed and stratified, drawn by no random numbers. Of every
    class, in the order in which the data lists its images, the last 36 are
    the test split, the 36 before them the validation split, the others train.
    The data lists whole forms of about 130 digits, filled in one after
    another, and no form is both trained and tested on. That is harder, and
    nearer to use, than a random split: of a test digit's form, nothing has
    been seen.

    ===== ====== ==========================================================
    split images images of the classes 0 to 9
    ===== ====== ==========================================================
    train 1,077  106, 110, 105, 111, 109, 110, 109, 107, 102, 108
    val   360    36 each
    test  360    36 each
    ===== ====== ==========================================================

    Args:
        split (str): 'train', 'val' or 'test'. Defaults to 'train'.
        num_images (int, optional): How many images of the split to keep, of
            every class the same number (or one more). Which ones is fixed,
            and fewer are part of more. Defaults to None, all.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`,
            such as ``pipeline``.

    Raises:
        ValueError: If ``split`` is none of the three, or ``num_images`` is more
            than there are.
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
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise ImportError(
                'mmdckd.Digits reads its images from '
                'scikit-learn, which cannot be imported: '
                '`pip install scikit-learn`.'
            ) from error
        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        chosen = split_indices(digits.target, self.split)
        if self.num_images is not None:
            chosen = chosen[
                stratified_subset(
                    digits.target[chosen], self.num_images, 10, 'num_images'
                )
            ]
        data_list = []
        for index in chosen:
            img = np.repeat(images[index][..., None], 3, axis=-1)
            data_list.append(
                dict(
                    img=img,
                    img_shape=img.shape[:2],
                    ori_shape=img.shape[:2],
                    gt_label=int(digits.target[index]),
                )
            )
        return data_list

    def extra_repr(self) -> List[str]:
        """Name the split where the dataset is printed."""
        return [f'Split: \t{self.split}']


def split_indices(labels: np.ndarray, split: str) -> np.ndarray:
    """Choose the images of a split.

    Args:
        labels (np.ndarray): The labels of all images, in the data's order,
            of shape (1797,).
        split (str): 'train', 'val' or 'test'.

    Returns:
        np.ndarray: Indices of the split's images, ascending.
    """
    by_class = [
        np.flatnonzero(labels == label)[_PARTS[split]] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(by_class))
