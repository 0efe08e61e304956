# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Sequence, Union

from mmengine.dataset import BaseDataset

from mmdckd.models.tasks.labels import remove_labels
from mmdckd.registry import DATASETS


def build_dataset(dataset: Union[dict, BaseDataset]) -> Any:
    """A dataset of its config; one that is built is returned as it is."""
    return DATASETS.build(dataset) if isinstance(dataset, dict) else dataset


@DATASETS.register_module()
class Unlabeled:
    """The images of another dataset, without their labels.

    A sample has no ``gt_label`` and no ``gt_score``, and says by its meta
    information ``unlabeled=True`` that this is meant: students have no task
    loss on it, and learn from their teacher and their peers alone. Images that
    lack labels and do not say so are an error.

    It wraps any dataset, and goes into MMEngine's ``ConcatDataset``, which
    mixes labeled and unlabeled images as they come. To choose the share of
    unlabeled images in a batch, take :class:`WithUnlabeled`.

    Args:
        dataset (dict or BaseDataset): The images. Of a folder,
            ``dict(type='CustomDataset', data_root=..., with_label=False)``
            takes all images below it, whatever its subfolders are called.

    Examples:
        >>> photos = Unlabeled(dict(
        ...     type='CustomDataset', data_root='photos', with_label=False,
        ...     pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))
        >>> photos[0]['data_samples'].unlabeled
        True
    """

    def __init__(self, dataset: Union[dict, BaseDataset]) -> None:
        self.dataset = build_dataset(dataset)

    @property
    def metainfo(self) -> dict:
        """dict: That of the images' dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the list of images."""
        self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """What is known of an image before it is loaded."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> Sequence[int]:
        """The labels of an image: none."""
        return []

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        packed = self.dataset[idx]
        remove_labels(packed['data_samples'])
        return packed
