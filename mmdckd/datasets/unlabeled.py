# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Sequence, Union

from mmengine.dataset import BaseDataset

from mmdckd.models.tasks.labels import remove_labels
from mmdckd.registry import DATASETS


def build_dataset(dataset: Union[dict, BaseDataset]) -> Any:
    """Build a dataset from its config; return a built one unchanged."""
    return DATASETS.build(dataset) if isinstance(dataset, dict) else dataset


@DATASETS.register_module()
class Unlabeled:
    """Wraps a dataset and removes its labels.

    A sample has neither ``gt_label`` nor ``gt_score``. Its meta information
    ``unlabeled=True`` marks this as intended: students have no task loss on it
    and learn only from their teacher and peers. A sample that lacks a label
    without this mark is an error.

    It wraps any dataset and can be part of MMEngine's ``ConcatDataset``, which
    mixes labeled and unlabeled images at random. To choose the share of
    unlabeled images in a batch, use :class:`WithUnlabeled`.

    Args:
        dataset (dict or BaseDataset): The images. For a folder,
            ``dict(type='mmdckd.ImageFiles', data_root=...)`` uses all images
            below it, in any subfolders.

    Examples:
        >>> photos = Unlabeled(dict(
        ...     type='mmdckd.ImageFiles', data_root='photos',
        ...     pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))
        >>> photos[0]['data_samples'].unlabeled
        True
    """

    def __init__(self, dataset: Union[dict, BaseDataset]) -> None:
        self.dataset = build_dataset(dataset)

    @property
    def metainfo(self) -> dict:
        """dict: The meta information of the wrapped dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the list of images."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """Return the information about an image before it is loaded."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> Sequence[int]:
        """Return the labels of an image: an empty list."""
        return []

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        packed = self.dataset[idx]
        remove_labels(packed['data_samples'])
        return packed
