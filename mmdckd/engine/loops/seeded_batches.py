# Copyright (c) mmdckd contributors. All rights reserved.
from collections import deque
from itertools import chain
from typing import Any, Deque, Iterator, Optional, Sequence

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, IterableDataset

from mmdckd.engine.randomness import Draw, seed_all, seed_data


class SeededBatches:
    """Stands in for the batch sampler of a dataloader, which it asks.

    A pass over the data can begin anywhere, and nothing is loaded that is
    passed over. What a sample draws follows from the seed, the pass and the
    place of the sample in it, counted over all processes: it is the same in
    the process that trains, in any worker, and with any number of either.

    Args:
        batch_sampler (Sampler): The batch sampler, MMEngine's or another. It
            is as random as its generator, its ``seed`` and ``set_epoch``, or
            torch's own generator make it.
        seed (int): The seed of the run.

    Attributes:
        seed (int): As given; ``ExactResumeHook`` sets that of the checkpoint.
        epoch (int): The number of the pass.
        samples (int): How many samples of it were trained on.
    """

    def __init__(self, batch_sampler: Any, seed: int) -> None:
        self.batch_sampler = batch_sampler
        self.seed = seed
        self.epoch = 0
        self.samples = 0
        self._rank, self._world_size = get_dist_info()
        self._batches: Optional[Iterator] = None
        self._sizes: Deque[int] = deque()

    @classmethod
    def install(cls, dataloader: DataLoader, seed: int) -> 'SeededBatches':
        """Put it into a dataloader, in the place of its ``batch_sampler``.

        Args:
            dataloader (DataLoader): The dataloader of the training.
            seed (int): The seed of the run.

        Raises:
            ValueError: If the dataloader has no order that can be repeated.
        """
        if (
            isinstance(dataloader.dataset, IterableDataset)
            or dataloader.batch_sampler is None
            or not getattr(dataloader, 'in_order', True)
        ):
            raise ValueError(
                '`ExactResumeHook` begins inside a pass over the data, and '
                '`train_dataloader` has no order that can be repeated: it '
                'needs a dataset with indices, a `batch_size` (or '
                '`batch_sampler`) and `in_order=True`.'
            )
        batch_sampler = dataloader.batch_sampler
        if isinstance(batch_sampler, cls):
            batch_sampler = batch_sampler.batch_sampler
        batches = cls(batch_sampler, seed)
        # DataLoader refuses to have it set, for the sake of iterators that
        # exist; whoever has one keeps the sampler it began with.
        vars(dataloader)['batch_sampler'] = batches
        return batches

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler':  # not there yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    @property
    def index_sampler(self) -> Any:
        """The sampler of the indices, of which batches are made."""
        return getattr(self.batch_sampler, 'sampler', self.batch_sampler)

    def begin(self, epoch: int, samples: int = 0) -> int:
        """Begin a pass over the data.

        Args:
            epoch (int): The number of the pass.
            samples (int): How many samples of it, of all processes together,
                to pass over. Defaults to 0.

        Returns:
            int: How many batches of this process were passed over.
        """
        self.epoch = epoch
        self.samples = 0
        self._sizes.clear()
        sampler = self.index_sampler
        for each in (self.batch_sampler, sampler):
            if hasattr(each, 'set_epoch'):
                each.set_epoch(epoch)
        if isinstance(sampler, InfiniteSampler):
            # It has one generator for good, which may have been begun.
            sampler.indices = sampler._indices_of_rank()
        seed_all(self.seed, Draw.PASS, epoch)
        batches = iter(self.batch_sampler)
        passed = 0
        # The first batch is taken now, right after the seed was set.
        for batch in batches:
            size = len(batch) * self._world_size
            if self.samples + size > samples:
                batches = chain([batch], batches)
                break
            self.samples += size
            passed += 1
        self._batches = batches
        return passed

    def __iter__(self) -> Iterator['SeededIndices']:
        # Someone else than the loop iterates where no pass was begun: a hook
        # that measures statistics, say.
        batches, self._batches = self._batches, None
        counted = batches is not None
        position = self.samples if counted else 0
        for batch in self.batch_sampler if batches is None else batches:
            size = len(batch) * self._world_size
            if counted:
                self._sizes.append(size)
            yield SeededIndices(
                batch, self.seed, self.epoch, position + self._rank, self._world_size
            )
            position += size

    def count_batch(self) -> None:
        """Note that the next batch of the pass was trained on."""
        self.samples += self._sizes.popleft()


class SeededIndices:
    """The indices of a batch, which seed before each of them is loaded.

    A dataset is asked for one index after another, as they come from here:
    the seeding happens where the data is loaded, and dataset and transforms
    need to know nothing of it.

    Args:
        indices (Sequence): The indices.
        seed (int): The seed of the run.
        epoch (int): The number of the pass.
        position (int): The place of the first index in the pass.
        step (int): How many places the next is behind it.
    """

    def __init__(
        self, indices: Sequence, seed: int, epoch: int, position: int, step: int
    ) -> None:
        self.indices = indices
        self.seed = seed
        self.epoch = epoch
        self.position = position
        self.step = step

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator:
        for number, index in enumerate(self.indices):
            seed_data(
                self.seed, Draw.SAMPLE, self.epoch, self.position + number * self.step
            )
            yield index
        seed_data(self.seed, Draw.COLLATE, self.epoch, self.position)
