# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Any, List, Optional, Union

import numpy as np
from mmengine.dataset import BaseDataset

from mmdckd.registry import DATASETS

from .folds import Folds
from .unlabeled import build_dataset


@DATASETS.register_module()
class WithoutFold:
    """Removes the images of one fold from a dataset.

    A network that is trained on the rest is blind to the fold, so it cannot
    have memorized these images. The folds are those of
    :func:`~mmdckd.datasets.folds.fold_table`, the same in every run. Images
    without a label are in no fold and are kept.

    Args:
        dataset (BaseDataset | dict): The dataset, or its config. It must not be
            a wrapper; wrappers of MMEngine can wrap this dataset.
        num_folds (int): The number of folds.
        fold (int, optional): The fold to remove, 0 to ``num_folds - 1``.
            Defaults to None: all images are kept, for a student that learns
            from all blind peers.
        seed (int): The seed of the division. Defaults to 0.
        only (bool): Whether to keep only the images of the fold instead.
            Defaults to False.

    Raises:
        TypeError: If ``dataset`` is a wrapper.
        ValueError: If the fold does not exist, or the images cannot be divided.

    Examples:
        >>> from mmdckd.datasets import Digits
        >>> blind = WithoutFold(Digits(), num_folds=4, fold=1)
        >>> len(blind), len(WithoutFold(Digits(), num_folds=4, fold=1, only=True))
        (806, 271)
    """

    def __init__(
        self,
        dataset: Union[BaseDataset, dict],
        num_folds: int,
        fold: Optional[int] = None,
        seed: int = 0,
        only: bool = False,
    ) -> None:
        self.dataset: BaseDataset = build_dataset(dataset)
        if not isinstance(self.dataset, BaseDataset):
            raise TypeError(
                'Invalid `dataset` of WithoutFold: expected a dataset without wrapper '
                f'(a wrapper can wrap WithoutFold), got a '
                f'{type(self.dataset).__name__}.'
            )
        self.num_folds = num_folds
        self.fold = fold
        self.seed = seed
        self.only = only
        self.full_init()

    @property
    def metainfo(self) -> dict:
        """dict: The meta information of the dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """Load the dataset and choose its images."""
        self.dataset.full_init()
        #: The folds of all images of the dataset.
        self.folds = Folds.of(self.dataset, self.num_folds, self.seed)
        if self.fold is None and not self.only:
            self._indices = np.arange(len(self.dataset))
            return
        if self.fold not in range(self.num_folds) or isinstance(self.fold, bool):
            raise ValueError(
                f'Invalid `fold`: expected a whole number from 0 to '
                f'{self.num_folds - 1}, got {self.fold!r}.'
            )
        inside = self.folds.folds == self.fold
        self._indices = np.flatnonzero(inside if self.only else ~inside)

    def _get_ori_dataset_idx(self, idx: int) -> int:
        """Return the index of an image in the whole dataset."""
        return int(self._indices[idx])

    def get_data_info(self, idx: int) -> dict:
        """Return the dataset's information about an image; its ``sample_idx`` is
        the index in the whole dataset."""
        return self.dataset.get_data_info(self._get_ori_dataset_idx(idx))

    def get_cat_ids(self, idx: int) -> List[int]:
        """Return the labels of an image."""
        return self.dataset.get_cat_ids(self._get_ori_dataset_idx(idx))

    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of all images."""
        return self.folds.labels[self._indices]

    def __getitem__(self, idx: int) -> Any:
        if self.dataset.test_mode:
            return self.dataset[self._get_ori_dataset_idx(idx)]
        # The dataset itself would replace a broken image by one of another fold.
        for _ in range(self.dataset.max_refetch + 1):
            data = self.dataset.prepare_data(self._get_ori_dataset_idx(idx))
            if data is not None:
                return data
            idx = np.random.randint(len(self))
        raise ValueError(
            'Invalid dataset: expected images that can be read, got '
            f'{self.dataset.max_refetch + 1} broken ones in a row.'
        )

    def __len__(self) -> int:
        return len(self._indices)
