# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List, Sequence, Tuple

import numpy as np
from mmpretrain.datasets import BaseDataset

from mmdckd.errors import invalid
from mmdckd.registry import DATASETS

from .folds import image_roots


class InnerDataset(BaseDataset):
    """A dataset made of the samples of another one, with its own pipeline.

    Args:
        dataset (dict): The config of the other dataset; its ``pipeline`` is not
            used.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`, such
            as ``pipeline``.

    Attributes:
        image_roots (List[str]): The folders that contain the images; see
            :func:`~.folds.image_roots`.
    """

    def __init__(self, dataset: dict, **kwargs: Any) -> None:
        self._config = dict(dataset, pipeline=[])
        self.image_roots: List[str] = []
        super().__init__(ann_file='', **kwargs)

    def load_inner(self) -> Tuple[Any, List[dict]]:
        """Build the other dataset and adopt its meta information.

        Returns:
            tuple: The dataset, and its information about each sample.
        """
        dataset = DATASETS.build(self._config)
        dataset.full_init()
        self._metainfo = {**dataset.metainfo, **self._metainfo}
        self.image_roots = image_roots(dataset)
        return dataset, [dataset.get_data_info(index) for index in range(len(dataset))]


def labels_of(infos: Sequence[dict]) -> np.ndarray:
    """Return the labels (N,) of samples.

    Args:
        infos (Sequence[dict]): The information about N samples.

    Raises:
        ValueError: If a sample has no label, or several.
    """
    for info in infos:
        label = np.asarray(info.get('gt_label'))
        if label.ndim or label.dtype.kind not in 'iu':
            raise invalid('dataset', 'one label an image', info.get('gt_label'))
    return np.array([int(info['gt_label']) for info in infos], np.int64)
