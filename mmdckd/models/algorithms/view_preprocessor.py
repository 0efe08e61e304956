# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List

import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn


class ViewPreprocessor(BaseDataPreprocessor):
    """Preprocesses a batch in which every student has its own view.

    In training, ``inputs`` holds one batch of images per student, as
    MMPretrain's ``MultiView`` transform returns them; otherwise all students
    share one batch.

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
            dict: ``inputs`` and ``data_samples``; in training, lists of length N.

        Raises:
            ValueError: If the number of views is not the number of students.
        """
        if not training:
            return self.each(data, False)
        views = data['inputs']
        several = isinstance(views, (list, tuple)) and all(map(_is_batch, views))
        if not several or len(views) != self.num_views:
            found = len(views) if several else 1
            raise ValueError(
                f'Invalid `train_dataloader.dataset.pipeline`: expected '
                f"{self.num_views} views per image with `views='independent'`, one "
                f'per student, got {found}. Wrap its random transforms: '
                f"dict(type='MultiView', num_views={self.num_views}, "
                'transforms=[[...]]).'
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
    """Tell whether a value is a batch of images, stacked or not."""
    if isinstance(view, (list, tuple)):
        return bool(view) and all(
            isinstance(image, torch.Tensor) and image.ndim == 3 for image in view
        )
    return isinstance(view, torch.Tensor) and view.ndim == 4
