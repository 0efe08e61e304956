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
    'Create it from the fonts in some folders with `python '
    'tools/datasets/make_glyph62.py --fonts DIR [DIR ...] --out {}`.'
)


@DATASETS.register_module()
class Glyph62(BaseDataset):
    """Rendered digits and letters of many fonts, in 62 classes.

    The classes are 0-9, A-Z and a-z. Many are similar (0 O o, 1 I l, S s 5), in
    some fonts even identical, so the probabilities of other classes carry
    information, which makes the task suitable for distillation. It has the size
    of CIFAR and needs no download: ``tools/datasets/make_glyph62.py`` renders
    it from the fonts of a machine.

    The splits share no family of fonts, so the test measures how well a network
    reads fonts that it has not seen. Families whose names start with the same
    word count as one. The manifest in the same folder lists the fonts.

    An image is a uint8 array of shape (size, size, 3). All three channels
    contain the gray value, 255 for ink and 0 for the background, so every
    MMPretrain transform, network and visualizer accepts it. Images are already
    decoded: a pipeline needs no ``LoadImageFromFile``.

    Args:
        data_root (str): The folder with ``train.npz``, ``val.npz`` and
            ``test.npz``. Defaults to 'data/glyph62'.
        split (str): 'train', 'val' or 'test'. Defaults to 'train'.
        size (int, optional): The side of an image in pixels, a divisor of the
            side in the files; pixels are averaged. Defaults to None: the side
            in the files.
        subset (int, optional): The number of images to keep, the same number
            for every class (or one more). The choice is fixed. Defaults to
            None: all.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`,
            such as ``pipeline``.

    Raises:
        FileNotFoundError: If the file of the split is missing.
        ValueError: If ``split`` has another value, ``size`` does not divide the
            side of the images, ``subset`` is larger than the split, or the file
            is not one of Glyph62.

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
                'Invalid `data_root` of mmdckd.Glyph62: expected a folder with '
                f'{self.split}.npz, got {self.data_root!r}. '
                + _MAKE.format(self.data_root)
            )
        try:
            arrays = read_arrays(path, _SPECS)
            images, labels, fonts = (arrays[name] for name in _ARRAYS)
            count, height, width = images.shape
            if height != width or not count == len(labels) == len(fonts):
                raise ValueError(
                    'Invalid arrays: expected equal lengths and square images, got '
                    'others'
                )
            if count and not 0 <= labels.min() <= labels.max() < len(self.CLASSES):
                raise ValueError('Invalid labels: expected 0 to 61, got others')
        except ValueError as error:
            raise ValueError(
                'Invalid `data_root` of mmdckd.Glyph62: expected a split of Glyph62, '
                f'got {path!r} ({error}). ' + _MAKE.format(self.data_root)
            ) from error
        return arrays

    def extra_repr(self) -> List[str]:
        """Add the folder and split to the printed description of the dataset."""
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
            f'Invalid `size` of mmdckd.Glyph62: expected a divisor of {side}, the '
            f'side of the images, got {size!r}.'
        )
    factor = side // size
    blocks = images.reshape(-1, size, factor, size, factor)
    return np.rint(blocks.mean((2, 4))).astype(np.uint8)
