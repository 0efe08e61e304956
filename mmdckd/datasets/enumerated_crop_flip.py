# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import numpy as np
from mmcv.transforms import BaseTransform

from mmdckd.registry import TRANSFORMS
from mmdckd.values import is_whole


@TRANSFORMS.register_module()
class EnumeratedCropFlip(BaseTransform):
    """Pads an image, crops it at its original size, and flips it or not.

    The views and their probabilities are those of ``RandomCrop(crop_size=<the
    image's side>, padding=<padding>)`` and ``RandomFlip(prob=0.5)``, but each
    view has a number: the :math:`(2p + 1)^2` positions of the crop, row by row,
    first without and then with the flip. The number is ``view`` of the results,
    for :class:`~mmdckd.engine.hooks.TeacherCacheHook`.

    Args:
        padding (int): Pixels p of value 0 on every side. Defaults to 4: 162
            views.
        flip (bool): Whether half of the views are flipped horizontally.
            Defaults to True.

    Raises:
        ValueError: If ``padding`` is not a whole number, 0 or more.

    Examples:
        >>> train_pipeline = [
        ...     dict(type='mmdckd.EnumeratedCropFlip', padding=4),
        ...     dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
        ... ]
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        if not is_whole(padding, least=0):
            raise ValueError(
                'Invalid `padding` of EnumeratedCropFlip: expected a number of '
                f'pixels, 0 or more, got {padding!r}.'
            )
        self.padding = padding
        self.flip = flip

    @property
    def num_views(self) -> int:
        """int: The number of views of an image."""
        return (2 * self.padding + 1) ** 2 * (2 if self.flip else 1)

    def view(self, results: dict, number: int) -> dict:
        """Compute one view.

        Args:
            results (dict): With ``img`` (H, W, C).
            number (int): The number of the view, 0 to ``num_views - 1``.

        Returns:
            dict: The results with the new ``img`` and ``view``.
        """
        places = 2 * self.padding + 1
        flipped, place = divmod(number, places**2)
        top, left = divmod(place, places)
        pad, img = self.padding, results['img']
        height, width, channels = img.shape
        # Several times faster than np.pad.
        padded = np.zeros((height + 2 * pad, width + 2 * pad, channels), img.dtype)
        padded[pad : pad + height, pad : pad + width] = img
        img = padded[top : top + height, left : left + width]
        if flipped:
            img = img[:, ::-1]
        return dict(results, img=np.ascontiguousarray(img), view=number)

    def transform(self, results: dict) -> Optional[dict]:
        """Compute a random view."""
        return self.view(results, np.random.randint(self.num_views))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(padding={self.padding}, flip={self.flip})'
