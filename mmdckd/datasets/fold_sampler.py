# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Iterator, List, Sequence

import numpy as np
import torch
from mmengine.dataset import DefaultSampler


class FoldSampler:
    """Orders images so that any K consecutive ones are of K different folds.

    A batch whose size is a multiple of K then has the same number of images of
    each fold, and every student sees the same number of its images.

    A pass has the length, seed and epoch of the sampler that it replaces. If
    one fold has fewer images than another, some of its images appear twice in a
    pass, and some of the other's not at all; these change from pass to pass.
    With several processes, each takes different images.

    Args:
        sampler (DefaultSampler): The sampler to replace.
        folds (np.ndarray): The folds of the images, with values 0 to K - 1.
    """

    def __init__(self, sampler: DefaultSampler, folds: np.ndarray) -> None:
        self._sampler = sampler
        self._folds = folds
        self._num_folds = int(self._folds.max()) + 1

    def __getattr__(self, name: str) -> Any:
        if name == '_sampler':  # not there yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self._sampler, name)

    @property
    def seed(self) -> int:
        """int: The sampler's seed; ``ExactResumeHook`` sets it."""
        return self._sampler.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._sampler.seed = seed

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        sampler = self._sampler
        order = np.arange(len(self._folds))
        if sampler.shuffle:
            generator = torch.Generator()
            generator.manual_seed(sampler.seed + sampler.epoch)
            order = torch.randperm(len(order), generator=generator).numpy()
        queues = [order[self._folds[order] == f] for f in range(self._num_folds)]
        for place in range(len(sampler)):
            turn, fold = divmod(place, self._num_folds)
            queue = queues[fold]
            number = turn * sampler.world_size + sampler.rank
            yield int(queue[number % len(queue)])

    def places_of(self, batch: Sequence[int]) -> List[int]:
        """Return the places of the images of a batch among those that all processes
        draw for it.

        They are those of a single process, so that its random transforms are, too.

        Args:
            batch (Sequence[int]): The indices of the images; any images without a
                fold, whose indices are larger, come last.
        """
        rank, world_size, k = self.rank, self.world_size, self._num_folds
        whole = sum(index < len(self._folds) for index in batch) // k * k
        rows = [(turn * world_size + rank) * k for turn in range(whole // k)]
        places = [row + fold for row in rows for fold in range(k)]
        return places + [i * world_size + rank for i in range(whole, len(batch))]
