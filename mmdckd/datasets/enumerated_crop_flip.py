# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import numpy as np
from mmcv.transforms import BaseTransform

from mmdckd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class EnumeratedCropFlip(BaseTransform):
    """Pad an image, crop a part of its size, and flip it or not.

    The views are those that ``RandomCrop(crop_size=<the image's side>,
    padding=<padding>)`` and ``RandomFlip(prob=0.5)`` choose from, each as
    likely, but with numbers: of the :math:`(2p + 1)^2` places of the crop,
    row by row, first all as they are, then all flipped. ``view`` of the
    results is the number, for
    :class:`~mmdckd.engine.hooks.TeacherCacheHook`.

    Args:
        padding (int): Pixels p of value 0 at every side. Defaults to 4: 162
            views.
        flip (bool): Whether half of the views are flipped, left to right.
            Defaults to True.

    Raises:
        ValueError: If ``padding`` is no whole number of 0 or more.

    Examples:
        >>> train_pipeline = [
        ...     dict(type='mmdckd.EnumeratedCropFlip', padding=4),
        ...     dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
        ... ]
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        if not isinstance(padding, int) or padding < 0:
            raise ValueError(
                'Invalid `padding` of EnumeratedCropFlip: expected a number of '
                f'pixels, 0 or more, got {padding!r}.'
            )
        self.padding = padding
        self.flip = flip

    @property
    def num_views(self) -> int:
        """int: How many views an image has."""
        return (2 * self.padding + 1) ** 2 * (2 if self.flip else 1)

    def view(self, results: dict, number: int) -> dict:
        """Make one view.

        Args:
            results (dict): With ``img`` (H, W, C).
            number (int): Which one, 0 to ``num_views - 1``.

        Returns:
            dict: The same with ``img`` and ``view``.
        """
        places = 2 * self.padding + 1
        flipped, place = divmod(number, places**2)
        top, left = divmod(place, places)
        pad, img = self.padding, results['img']
        height, width, channels = img.shape
        # Several times as fast as np.pad.
        padded = np.zeros((height + 2 * pad, width + 2 * pad, channels), img.dtype)
        padded[pad : pad + height, pad : pad + width] = img
        img = padded[top : top + height, left : left + width]
        if flipped:
            img = img[:, ::-1]
        return dict(results, img=np.ascontiguousarray(img), view=number)

    def transform(self, results: dict) -> Optional[dict]:
        """Make a view that is drawn at random."""
        return self.view(results, np.random.randint(self.num_views))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(padding={self.padding}, flip={self.flip})'
