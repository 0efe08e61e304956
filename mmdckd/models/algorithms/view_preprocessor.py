# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List

import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn


class ViewPreprocessor(BaseDataPreprocessor):
    """Preprocesses a batch of which every student has a view of its own.

    In training, ``inputs`` are one batch of images a student, as
    MMPretrain's ``MultiView`` transform gives them; elsewhere one batch is for
    all.

    Args:
        each (nn.Module): The data preprocessor of one view.
        num_views (int): The number of students.
    """

    def __init__(self, each: nn.Module, num_views: int) -> None:
        super().__init__()
        self.each = each
        self.num_views = num_views

    def forward(self, data: Dict, training: bool = False) -> Dict[str, List]:
        """Preprocess every view.

        Args:
            data (dict): ``inputs``, a list of N image batches in training,
                each (B, 3, H, W) or B times (3, H, W), and ``data_samples``.
            training (bool): Whether views are expected. Defaults to False.

        Returns:
            dict: ``inputs`` and ``data_samples``, each a list of N in
            training.

        Raises:
            ValueError: If there are not as many views as students.
        """
        if not training:
            return self.each(data, False)
        views = data['inputs']
        several = isinstance(views, (list, tuple)) and all(map(_is_batch, views))
        if not several or len(views) != self.num_views:
            found = len(views) if several else 1
            raise ValueError(
                f"`views='independent'` needs {self.num_views} views of every "
                f'image, one a student, but the pipeline gives {found}. Wrap '
                "its random transforms: dict(type='MultiView', num_views="
                f'{self.num_views}, transforms=[[...]]).'
            )
        outputs = [
            self.each(
                dict(inputs=view, data_samples=[s.new() for s in data['data_samples']]),
                True,
            )
            for view in views
        ]
        return {
            key: [output[key] for output in outputs]
            for key in ('inputs', 'data_samples')
        }


def _is_batch(view) -> bool:
    """Whether it is a batch of images, stacked or not."""
    if isinstance(view, (list, tuple)):
        return bool(view) and all(
            isinstance(image, torch.Tensor) and image.ndim == 3 for image in view
        )
    return isinstance(view, torch.Tensor) and view.ndim == 4
