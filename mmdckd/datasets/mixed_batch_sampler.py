# Copyright (c) mmdckd contributors. All rights reserved.
from itertools import islice
from typing import Iterator, List

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from mmdckd.registry import DATA_SAMPLERS
from mmdckd.values import is_finite_number

from .with_unlabeled import WithUnlabeled


@DATA_SAMPLERS.register_module()
class MixedBatchSampler:
    """Mixes labeled and unlabeled images in each batch, in a fixed proportion.

    Labeled images come from the dataloader's ``sampler``, of any type, in its
    order: an epoch is one pass over them. Unlabeled images have their own
    passes, shuffled each time and continued from epoch to epoch; every image is
    used once before any is used again. With several processes, each has its own
    part of both.

    Of ``batch_size`` images, ``round(unlabeled_share * batch_size)`` are
    unlabeled. The last batch of an epoch may have fewer labeled images, and
    proportionally fewer unlabeled ones, at least one.

    The images of a batch depend only on the seed and the epoch of the sampler,
    so a run can resume inside an epoch
    (:class:`~mmdckd.engine.hooks.ExactResumeHook`).

    Args:
        sampler (Sampler): The sampler of a :class:`WithUnlabeled` dataset, such
            as MMEngine's ``DefaultSampler`` or ``InfiniteSampler``.
        batch_size (int): The number of images in a batch of one process.
        unlabeled_share (float): The share of unlabeled images in a batch, from
            0 to less than 1. Defaults to 0.5.
        drop_last (bool): Whether to drop a last batch with fewer labeled
            images. Defaults to False.

    Raises:
        ValueError: If the dataset is not a :class:`WithUnlabeled`, or the share
            leaves no labeled or no unlabeled image in a batch.

    Examples:
        >>> batch_sampler=dict(
        ...     type='mmdckd.MixedBatchSampler', unlabeled_share=0.75)
    """

    def __init__(
        self,
        sampler: Sampler,
        batch_size: int,
        unlabeled_share: float = 0.5,
        drop_last: bool = False,
    ) -> None:
        dataset = getattr(sampler, 'dataset', None)
        if not isinstance(dataset, WithUnlabeled):
            raise ValueError(
                'Invalid `train_dataloader.dataset` for MixedBatchSampler: expected '
                f'mmdckd.WithUnlabeled, got {type(dataset).__name__}.'
            )
        if not is_finite_number(unlabeled_share) or not 0 <= unlabeled_share < 1:
            raise ValueError(
                'Invalid `unlabeled_share`: expected a number from 0 to less than 1, '
                f'got {unlabeled_share!r}.'
            )
        num_unlabeled = round(unlabeled_share * batch_size)
        if not 0 < num_unlabeled < batch_size and unlabeled_share:
            raise ValueError(
                'Invalid `unlabeled_share`: expected one that leaves at least one '
                f'labeled and one unlabeled image in a batch of {batch_size}, got '
                f'{unlabeled_share!r}. Set a larger `train_dataloader.batch_size`.'
            )
        self.sampler = sampler
        self.drop_last = drop_last
        self.num_labeled = batch_size - num_unlabeled
        self.num_unlabeled = num_unlabeled
        self._first = len(dataset)
        self._size = len(dataset.unlabeled)
        self._rank, self._world_size = get_dist_info()

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        whole, rest = divmod(len(self.sampler), self.num_labeled)  # type: ignore
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[List[int]]:
        labeled = iter(self.sampler)
        unlabeled = self._unlabeled()
        while batch := list(islice(labeled, self.num_labeled)):
            if len(batch) < self.num_labeled and self.drop_last:
                return
            yield batch + list(islice(unlabeled, self._beside(len(batch))))

    def _beside(self, num_labeled: int) -> int:
        """Return the number of unlabeled images for a number of labeled ones."""
        share = self.num_unlabeled / self.num_labeled
        return max(round(share * num_labeled), min(1, self.num_unlabeled))

    def _unlabeled(self) -> Iterator[int]:
        """Yield indices of unlabeled images from the beginning of this epoch on.

        All passes form one endless sequence, from which processes take turns.
        """
        whole, rest = divmod(len(self.sampler), self.num_labeled)  # type: ignore
        an_epoch = whole * self.num_unlabeled
        if rest and not self.drop_last:
            an_epoch += self._beside(rest)
        place = an_epoch * getattr(self.sampler, 'epoch', 0)
        place = place * self._world_size + self._rank
        number, order = -1, torch.empty(0)
        while True:
            if place // self._size != number:
                number = place // self._size
                order = self._order(number)
            yield self._first + int(order[place % self._size])
            place += self._world_size

    def _order(self, number: int) -> torch.Tensor:
        """Return the order of one pass over the unlabeled images."""
        generator = torch.Generator()
        generator.manual_seed((getattr(self.sampler, 'seed', None) or 0) + number)
        return torch.randperm(self._size, generator=generator)
