# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List, Tuple

from mmpretrain.datasets import BaseDataset

from mmdckd.registry import DATASETS


class InnerDataset(BaseDataset):
    """A dataset made of the samples of another one, with its own pipeline.

    Args:
        dataset (dict): The config of the other dataset; its ``pipeline`` is not
            used.
        **kwargs: Arguments of :class:`mmpretrain.datasets.BaseDataset`, such
            as ``pipeline``.
    """

    def __init__(self, dataset: dict, **kwargs: Any) -> None:
        self._config = dict(dataset, pipeline=[])
        super().__init__(ann_file='', **kwargs)

    def load_inner(self) -> Tuple[Any, List[dict]]:
        """Build the other dataset and adopt its meta information.

        Returns:
            tuple: The dataset, and its information about each sample.
        """
        dataset = DATASETS.build(self._config)
        dataset.full_init()
        self._metainfo = {**dataset.metainfo, **self._metainfo}
        return dataset, [dataset.get_data_info(index) for index in range(len(dataset))]
