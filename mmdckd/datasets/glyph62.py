# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
import string
from typing import Dict, List, Optional

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmdckd.errors import invalid
from mmdckd.io.data import ArraySpec, read_arrays
from mmdckd.registry import DATASETS

from .stratified import stratified_subset

_SPLITS = ('train', 'val', 'test')
_ARRAYS = ('images', 'labels', 'fonts')
_SPECS = dict(
    images=ArraySpec('u', 3), labels=ArraySpec('iu', 1), fonts=ArraySpec('iu', 1)
)
_MAKE = (
    '`python tools/datasets/make_glyph62.py --fonts DIR [DIR ...] --out '
    '{}` makes it from the fonts in those folders'
)


@DATASETS.register_module()
class Glyph62(BaseDataset):
    """The digits and letters of many fonts, 62 classes, rendered.

    The classes are 0-9, A-Z and a-z. Many of them resemble each other (0 O o,
    1 I l, S s 5), in some fonts down to the last pixel: what a network knows
    of one class says something of others, which makes the task a natural one
    for distillation. It is of the size of CIFAR and needs no download:
    ``tools/datasets/make_glyph62.py`` draws it from the fonts of a machine.

    The splits have no family of fonts in common, so what is tested is how
    letters are read that look unlike those in training. All families whose
    names start with the same word count as one here. The manifest beside the
    files lists the fonts.

    An image is a uint8 array of shape (size, size, 3): its gray value, 255
    for ink and 0 for the ground, stands in all three channels, so every
    MMPretrain transform, network and visualizer takes it. Images come
    decoded: a pipeline needs no ``LoadImageFromFile``.

    Args:
        data_root (str): The folder with ``train.npz``, ``val.npz`` and
            ``test.npz``. Defaults to 'data/glyph62'.
        split (str): 'train', 'val' or 'test'. Defaults to 'train'.
        size (int, optional): The side of an image in pixels, one that divides
            the side in the files; pixels are averaged. Defaults to None, the
            side in the files.
        subset (int, optional): How many images to keep, of every class the
            same number (or one more). Which ones is fixed. Defaults to None,
            all.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If the file of the split is missing.
        ValueError: If ``split`` is none of the three, ``size`` divides not
            the side of the images, ``subset`` is more than there are, or the
            file is none of Glyph62.

    Examples:
        >>> from mmdckd.datasets import Glyph62
        >>> glyphs = Glyph62(size=16, subset=8000)
        >>> glyphs[0]['img'].shape, glyphs.CLASSES[glyphs[0]['gt_label']]
        ((16, 16, 3), '3')
    """

    METAINFO = dict(
        classes=tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
    )

    def __init__(
        self,
        data_root: str = 'data/glyph62',
        split: str = 'train',
        size: Optional[int] = None,
        subset: Optional[int] = None,
        **kwargs,
    ) -> None:
        if split not in _SPLITS:
            raise invalid('split', f'one of {_SPLITS}', split)
        self.split = split
        self.size = size
        self.subset = subset
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the images and labels of the split.

        Returns:
            list[dict]: One dict an image, with ``img``, ``img_shape``,
            ``ori_shape``, ``gt_label`` and ``font``, the number of its font
            in the manifest.
        """
        arrays = self._read()
        images, labels, fonts = (arrays[name] for name in _ARRAYS)
        if self.subset is not None:
            chosen = stratified_subset(labels, self.subset, len(self.CLASSES), 'subset')
            images, labels, fonts = (images[chosen], labels[chosen], fonts[chosen])
        if self.size is not None:
            images = shrink(images, self.size)
        return [
            dict(
                img=np.repeat(image[..., None], 3, axis=-1),
                img_shape=image.shape,
                ori_shape=image.shape,
                gt_label=int(label),
                font=int(font),
            )
            for image, label, font in zip(images, labels, fonts)
        ]

    def _read(self) -> Dict[str, np.ndarray]:
        path = osp.join(self.data_root, f'{self.split}.npz')
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'`data_root`={self.data_root!r} of mmdckd.Glyph62 has no '
                f'{self.split}.npz. ' + _MAKE.format(self.data_root) + '.'
            )
        try:
            arrays = read_arrays(path, _SPECS)
            images, labels, fonts = (arrays[name] for name in _ARRAYS)
            count, height, width = images.shape
            if height != width or not count == len(labels) == len(fonts):
                raise ValueError(
                    'its arrays are of different lengths, or its images are not square'
                )
            if count and not 0 <= labels.min() <= labels.max() < len(self.CLASSES):
                raise ValueError('its labels are not 0 to 61')
        except ValueError as error:
            raise ValueError(
                f'{path!r} cannot be read as a split of Glyph62 '
                f'({error}). ' + _MAKE.format(self.data_root) + '.'
            ) from error
        return arrays

    def extra_repr(self) -> List[str]:
        """Name the split where the dataset is printed."""
        return [f'Root of dataset: \t{self.data_root}', f'Split: \t{self.split}']


def shrink(images: np.ndarray, size: int) -> np.ndarray:
    """Average square blocks of pixels to one.

    Args:
        images (np.ndarray): uint8 of shape (N, S, S).
        size (int): The side of the result in pixels.

    Returns:
        np.ndarray: uint8 of shape (N, size, size).

    Raises:
        ValueError: If ``size`` does not divide S.
    """
    side = images.shape[-1]
    if size < 1 or side % size:
        raise ValueError(
            f'`size` of mmdckd.Glyph62 should divide {side}, the '
            f'side of the images, but got {size!r}.'
        )
    factor = side // size
    blocks = images.reshape(-1, size, factor, size, factor)
    return np.rint(blocks.mean((2, 4))).astype(np.uint8)
