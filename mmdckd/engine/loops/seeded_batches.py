# Copyright (c) mmdckd contributors. All rights reserved.
from collections import deque
from itertools import chain
from typing import Any, Deque, Iterator, Optional, Sequence

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, IterableDataset

from mmdckd.engine.randomness import Draw, seed_all, seed_data, unchanged_randomness


class SeededBatches:
    """Replaces the batch sampler of a data loader by one that can start anywhere.

    A pass over the data can start at any sample, without loading the samples
    before it. The random numbers of a sample depend on the seed, the pass and
    the position of the sample in it, counted over all processes. They are the
    same in the training process, in any worker, and for any number of either.

    Args:
        batch_sampler (Sampler): The batch sampler, MMEngine's or another. Its
            randomness must come from its generator, its ``seed`` and
            ``set_epoch``, or torch's global generator.
        seed (int): The seed of the run.

    Attributes:
        seed (int): As given; ``ExactResumeHook`` sets that of the checkpoint.
        epoch (int): The number of the pass.
        samples (int): The number of its samples that were trained on.
        different (int, optional): The number of different passes; later
            passes repeat them, sample by sample. Defaults to None: all differ.
    """

    def __init__(self, batch_sampler: Any, seed: int) -> None:
        self.batch_sampler = batch_sampler
        self.seed = seed
        self.epoch = 0
        self.samples = 0
        self.different: Optional[int] = None
        rank, world_size = get_dist_info()
        self._rank = getattr(self.index_sampler, 'rank', rank)
        self._world_size = getattr(self.index_sampler, 'world_size', world_size)
        self._batches: Optional[Iterator] = None
        # The positions of the batches that are drawn and not yet trained on.
        self._drawn: Deque[Sequence[int]] = deque()

    @classmethod
    def install(cls, dataloader: DataLoader, seed: int) -> 'SeededBatches':
        """Install it in a data loader, in place of its ``batch_sampler``.

        Args:
            dataloader (DataLoader): The data loader of the training.
            seed (int): The seed of the run.

        Raises:
            ValueError: If the order of the data cannot be repeated.
        """
        if (
            isinstance(dataloader.dataset, IterableDataset)
            or dataloader.batch_sampler is None
            or not getattr(dataloader, 'in_order', True)
        ):
            raise ValueError(
                'Invalid `train_dataloader`: expected an order that can be repeated '
                'for `ExactResumeHook`: a dataset with indices, `batch_size` (or '
                '`batch_sampler`) and `in_order=True`, got one without.'
            )
        batch_sampler = dataloader.batch_sampler
        if isinstance(batch_sampler, cls):
            batch_sampler = batch_sampler.batch_sampler
        batches = cls(batch_sampler, seed)
        # DataLoader refuses to set it for the sake of existing iterators, which
        # keep the sampler that they started with.
        vars(dataloader)['batch_sampler'] = batches
        return batches

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler':  # not set yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    @property
    def index_sampler(self) -> Any:
        """The sampler of the indices that batches are made of."""
        return getattr(self.batch_sampler, 'sampler', self.batch_sampler)

    @property
    def total_batch_size(self) -> int:
        """int: The number of images of a batch, over all processes."""
        return (getattr(self.batch_sampler, 'batch_size', None) or 1) * self._world_size

    @property
    def drawn_epoch(self) -> int:
        """int: The number of the pass that the random numbers follow from."""
        return self.epoch % self.different if self.different else self.epoch

    @property
    def places(self) -> Sequence[int]:
        """Sequence[int]: The positions in the pass of this process's samples of the
        next batch to train on."""
        return self._drawn[0]

    def begin(self, epoch: int, samples: int = 0) -> int:
        """Start a pass over the data.

        Args:
            epoch (int): The number of the pass.
            samples (int): The number of its samples, over all processes, to
                skip. Defaults to 0.

        Returns:
            int: The number of skipped batches of this process.
        """
        self.epoch = epoch
        self.samples = 0
        self._drawn.clear()
        sampler = self.index_sampler
        for each in (self.batch_sampler, sampler):
            if hasattr(each, 'set_epoch'):
                each.set_epoch(self.drawn_epoch)
        if isinstance(sampler, InfiniteSampler):
            # It has a single generator, which may have started already.
            sampler.indices = sampler._indices_of_rank()
        seed_all(self.seed, Draw.PASS, self.drawn_epoch)
        batches = iter(self.batch_sampler)
        passed = 0
        # Take the first batch now, right after the seed is set.
        for batch in batches:
            size = len(batch) * self._world_size
            if self.samples + size > samples:
                batches = chain([batch], batches)
                break
            self.samples += size
            passed += 1
        self._batches = batches
        return passed

    def count_before(self, epoch: int, samples: int) -> int:
        """Return the number of batches that :meth:`begin` skips, without starting
        the pass."""
        with unchanged_randomness():
            skipped = self.begin(epoch, samples)
        self._batches = None
        return skipped

    def __iter__(self) -> Iterator['SeededIndices']:
        # If no pass was started, the caller is not the loop but, for example, a
        # hook that measures statistics.
        batches, self._batches = self._batches, None
        counted = batches is not None
        position = self.samples if counted else 0
        for batch in self.batch_sampler if batches is None else batches:
            positions = self._positions(position, batch)
            if counted:
                self._drawn.append(positions)
            yield SeededIndices(batch, self.seed, self.drawn_epoch, positions)
            position += len(batch) * self._world_size

    def _positions(self, start: int, batch: Sequence) -> Sequence[int]:
        """Return the positions in the pass of the samples of a batch of this process.

        Processes take turns, unless the sampler has ``places_of``.
        """
        places_of = getattr(self.index_sampler, 'places_of', None)
        if places_of is not None:
            return [start + place for place in places_of(batch)]
        end = start + len(batch) * self._world_size
        return range(start + self._rank, end, self._world_size)

    def count_batch(self) -> None:
        """Record that the next batch of the pass was trained on."""
        self.samples += len(self._drawn.popleft()) * self._world_size


class SeededIndices:
    """The indices of a batch, which set the seed before each is loaded.

    A dataset loads one index after another as it reads them from here. So the
    seed is set where the data is loaded, and dataset and transforms need not
    know about it.

    Args:
        indices (Sequence): The indices.
        seed (int): The seed of the run.
        epoch (int): The number of the pass.
        positions (Sequence[int]): The positions of the indices in the pass.
    """

    def __init__(
        self, indices: Sequence, seed: int, epoch: int, positions: Sequence[int]
    ) -> None:
        self.indices = indices
        self.seed = seed
        self.epoch = epoch
        self.positions = positions

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator:
        for index, position in zip(self.indices, self.positions):
            seed_data(self.seed, Draw.SAMPLE, self.epoch, position)
            yield index
        seed_data(self.seed, Draw.COLLATE, self.epoch, self.positions[0])
