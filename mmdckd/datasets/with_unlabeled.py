# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List, Union

from mmengine.dataset import BaseDataset

from mmdckd.registry import DATASETS

from .unlabeled import Unlabeled, build_dataset


@DATASETS.register_module()
class WithUnlabeled:
    """Combines a labeled dataset with images without labels.

    Its length is that of the labeled dataset: an epoch is a pass over the
    labeled images, and any sampler draws from these as usual.
    :class:`MixedBatchSampler` adds unlabeled images to each batch; their
    indices follow those of the labeled images.

    Args:
        dataset (dict or BaseDataset): The labeled images.
        unlabeled (dict or BaseDataset): The unlabeled images; their labels, if
            any, are ignored, see :class:`Unlabeled`.

    Raises:
        ValueError: If there is no unlabeled image.

    Examples:
        >>> train_dataloader = dict(
        ...     batch_size=64,
        ...     num_workers=2,
        ...     dataset=dict(
        ...         type='mmdckd.WithUnlabeled',
        ...         dataset=dict(
        ...             type='CustomDataset', data_root='photos/train', pipeline=...),
        ...         unlabeled=dict(
        ...             type='mmdckd.ImageFiles', data_root='more_photos',
        ...             pipeline=...)),
        ...     sampler=dict(type='DefaultSampler', shuffle=True),
        ...     batch_sampler=dict(
        ...         type='mmdckd.MixedBatchSampler', unlabeled_share=0.5))
    """

    def __init__(
        self, dataset: Union[dict, BaseDataset], unlabeled: Union[dict, BaseDataset]
    ) -> None:
        self.dataset = build_dataset(dataset)
        self.unlabeled = Unlabeled(unlabeled)
        if not len(self.unlabeled):
            raise ValueError(
                'Invalid `unlabeled` of WithUnlabeled: expected one image or more, '
                'got none. Check its `data_root`.'
            )

    @property
    def datasets(self) -> List[Any]:
        """list: Both datasets, the labeled one first."""
        return [self.dataset, self.unlabeled]

    @property
    def metainfo(self) -> dict:
        """dict: The meta information of the labeled dataset."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Load the lists of images."""
        for part in self.datasets:
            part.full_init()

    def get_data_info(self, idx: int) -> dict:
        """Return the information about an image before it is loaded."""
        part, own = self._locate(idx)
        return part.get_data_info(own)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict:
        part, own = self._locate(idx)
        return part[own]

    def _locate(self, idx: int) -> tuple:
        beyond = idx - len(self.dataset)
        return (self.dataset, idx) if beyond < 0 else (self.unlabeled, beyond)
