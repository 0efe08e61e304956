# Copyright (c) mmdckd contributors. All rights reserved.
"""Which finished peers are blind to each training image."""

from typing import List, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement

from mmdckd.errors import invalid
from mmdckd.values import is_whole

from ..options import check_count
from .batch_folds import NO_FOLD, BlindPeers, folds_in
from .finished_peers import FinishedPeers
from .fold_plan import KEY


class PeerFolds:
    """Tells which finished peers are blind to each image of a batch.

    The students see all images.

    Args:
        peers (FinishedPeers): Peers from the checkpoint of a cohort that was
            trained with ``model.folds``, or networks with ``blind_to``.
        num_folds (int): The number K of folds of that cohort.
        seed (int): The seed of its folds. Defaults to 0.

    Attributes:
        num_folds (int): The number of folds.
        seed (int): The seed of the folds.
        num_blind (int): m, the number of peers that are blind to each image with
            a label.

    Raises:
        ValueError: If the peers were trained without folds or with another
            number of folds, or folds differ in the number of peers that are
            blind to them.
    """

    def __init__(self, peers: FinishedPeers, num_folds: int, seed: int = 0) -> None:
        check_count(f'{KEY}.num_folds', num_folds)
        if not is_whole(seed):
            raise invalid(f'{KEY}.seed', 'an integer', seed)
        if not peers.fold_of:
            raise ValueError(
                f'Invalid `model.finished_peers`: expected a checkpoint of a cohort '
                f'that was trained with `{KEY}`, as `{KEY}` is set, got one without '
                'folds.'
            )
        self.num_folds = num_folds
        self.seed = seed
        self._digest = peers.folds_digest
        blind: List[List[int]] = [
            [index for index, own in enumerate(peers.fold_of) if own == fold]
            for fold in range(num_folds)
        ]
        counts = {len(each) for each in blind}
        beyond = any(fold is not None and fold >= num_folds for fold in peers.fold_of)
        if counts == {0} or len(counts) > 1 or beyond:
            expected = 'the number of folds of the finished peers, whose folds are '
            raise invalid(f'{KEY}.num_folds', f'{expected}{peers.fold_of}', num_folds)
        (self.num_blind,) = counts
        self._table = torch.tensor(blind)
        self._all = torch.arange(len(peers.fold_of))

    def check_digest(self, digest: str) -> None:
        """Check that the images have the same folds as in the peers' run.

        Args:
            digest (str): The hash of the folds of the training images.

        Raises:
            ValueError: If the folds differ.
        """
        if self._digest and digest != self._digest:
            raise ValueError(
                'Invalid `train_dataloader.dataset` or `model.folds`: expected the '
                f'folds of the finished peers, {self._digest}, got {digest}. The '
                'images, their labels or `model.folds` differ.'
            )

    def blind(
        self, samples: Optional[Sequence[BaseDataElement]], device: torch.device
    ) -> List[BlindPeers]:
        """Return which peers are blind to each image: all of them, if no copy of
        the image has a label.

        Args:
            samples (Sequence[DataSample], optional): The batch; each sample
                has a ``fold``.
            device (torch.device): The device of the batch.

        Returns:
            List[BlindPeers]: The images of folds and the images of none, as far as
            there are any.

        Raises:
            ValueError: If a sample has no ``fold``.
        """
        found = torch.tensor(folds_in(samples))
        seen, unseen = (
            rows.flatten()
            for rows in ((found != NO_FOLD).nonzero(), (found == NO_FOLD).nonzero())
        )
        groups = [
            BlindPeers(seen, self._table[found[seen]].t()),
            BlindPeers(unseen, self._all[:, None].expand(-1, len(unseen))),
        ]
        return [
            BlindPeers(*(part.to(device, non_blocking=True) for part in group))
            for group in groups
            if len(group.rows)
        ]
