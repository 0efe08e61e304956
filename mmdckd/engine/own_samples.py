# Copyright (c) mmdckd contributors. All rights reserved.
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader


class OwnSamples:
    """Tells which samples of a pass are counted by this process.

    MMEngine's ``DefaultSampler`` repeats samples where a process would have
    fewer than others, after the samples that are its own. A sum over
    processes that counts them depends on how many processes there are.

    Args:
        dataloader (DataLoader): The dataloader of the pass.
    """

    def __init__(self, dataloader: DataLoader) -> None:
        rank, world_size = get_dist_info()
        size = len(dataloader.dataset)  # type: ignore[arg-type]
        self._left = len(range(rank, size, world_size))

    def take(self, count: int) -> int:
        """How many of the next samples are counted; they come first.

        Args:
            count (int): How many samples the next batch has.
        """
        own = min(count, self._left)
        self._left -= own
        return own
