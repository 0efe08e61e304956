# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Any, List, Optional, Union

import numpy as np
from mmengine.dataset import BaseDataset

from mmdckd.registry import DATASETS

from .folds import Folds


@DATASETS.register_module()
class WithoutFold:
    """A dataset without the images of one fold.

    A network that is trained on it is blind to the fold: what it predicts for
    these images is not memorized. The folds are those of
    :func:`~mmdckd.datasets.folds.fold_table`, the same in every run. Images
    without a label are in no fold, and stay.

    Args:
        dataset (BaseDataset | dict): The dataset, or its config. Wrappers of
            MMEngine go around this one.
        num_folds (int): The number of folds.
        fold (int, optional): The fold to leave out, 0 to ``num_folds - 1``.
            Defaults to None: all images stay, as for the student that learns
            from all blind peers.
        seed (int): Which of the possible divisions it is. Defaults to 0.
        only (bool): Whether to keep only the images of the fold instead.
            Defaults to False.

    Raises:
        TypeError: If ``dataset`` is a wrapper.
        ValueError: If there is no such fold, or the images cannot be divided.

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
        self.dataset: BaseDataset = (
            DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        )
        if not isinstance(self.dataset, BaseDataset):
            raise TypeError(
                'Invalid `dataset` of WithoutFold: expected a dataset, which wrappers '
                f'may go around, got a {type(self.dataset).__name__}.'
            )
        self.num_folds = num_folds
        self.fold = fold
        self.seed = seed
        self.only = only
        self.full_init()

    @property
    def metainfo(self) -> dict:
        """dict: That of the dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """Read the dataset, and choose its images."""
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
        """The index of an image in the whole dataset."""
        return int(self._indices[idx])

    def get_data_info(self, idx: int) -> dict:
        """What the dataset says of an image; its ``sample_idx`` counts the
        images of the whole dataset."""
        return self.dataset.get_data_info(self._get_ori_dataset_idx(idx))

    def get_cat_ids(self, idx: int) -> List[int]:
        """The labels of an image."""
        return self.dataset.get_cat_ids(self._get_ori_dataset_idx(idx))

    def get_gt_labels(self) -> np.ndarray:
        """The labels of all images."""
        return self.folds.labels[self._indices]

    def __getitem__(self, idx: int) -> Any:
        if self.dataset.test_mode:
            return self.dataset[self._get_ori_dataset_idx(idx)]
        # The dataset itself would replace a broken image by one of any fold.
        for _ in range(self.dataset.max_refetch + 1):
            data = self.dataset.prepare_data(self._get_ori_dataset_idx(idx))
            if data is not None:
                return data
            idx = np.random.randint(len(self))
        raise ValueError(
            f'Invalid dataset: {self.dataset.max_refetch + 1} images in a row cannot '
            'be read.'
        )

    def __len__(self) -> int:
        return len(self._indices)
