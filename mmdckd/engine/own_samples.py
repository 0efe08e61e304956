# Copyright (c) mmdckd contributors. All rights reserved.
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader


class OwnSamples:
    """Tells which samples of a pass this process counts.

    MMEngine's ``DefaultSampler`` repeats samples, after a process's own ones,
    so that all processes have equally many. A sum over processes that counted
    them would depend on the number of processes.

    Args:
        dataloader (DataLoader): The data loader of the pass.
    """

    def __init__(self, dataloader: DataLoader) -> None:
        rank, world_size = get_dist_info()
        size = len(dataloader.dataset)  # type: ignore[arg-type]
        self._left = len(range(rank, size, world_size))

    def take(self, count: int) -> int:
        """Return how many of the next samples count; they come first.

        Args:
            count (int): The number of samples in the next batch.
        """
        own = min(count, self._left)
        self._left -= own
        return own
