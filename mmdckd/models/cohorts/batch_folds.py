# Copyright (c) mmdckd contributors. All rights reserved.
"""Which images of a batch each student sees."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.structures import BaseDataElement

from .fold_plan import KEY, FoldPlan

#: The fold of an image without a label, to which no student is blind.
NO_FOLD = -1


class Group(NamedTuple):
    """Images of a batch that the same students see.

    Attributes:
        fold (int): The fold of the images; -1 for several folds, or none.
        students (List[int]): The indices of the students, from 0.
        rows (Tensor): The indices of the images in the batch.
    """

    fold: int
    students: List[int]
    rows: torch.Tensor


class BlindPeers(NamedTuple):
    """Images of a batch that equally many peers are blind to.

    Attributes:
        rows (Tensor): The indices of R images in the batch.
        peers (Tensor): The indices (m, R) of m peers for each image.
    """

    rows: torch.Tensor
    peers: torch.Tensor


class BatchFolds:
    """Tells which images of a batch each student sees.

    An image of which no copy has a label is in no fold: every student sees it, and
    none has seen its label.

    Args:
        plan (FoldPlan): Which student is blind to which fold.
        samples (Sequence[DataSample], optional): The batch; each sample has a
            ``fold``, which :class:`~mmdckd.engine.hooks.FoldsHook` sets.
        device (torch.device): The device of the batch.

    Attributes:
        plan (FoldPlan): The plan that was given.
        size (int): B, the number of images.

    Raises:
        ValueError: If a sample has no ``fold``.
    """

    def __init__(
        self,
        plan: FoldPlan,
        samples: Optional[Sequence[BaseDataElement]],
        device: torch.device,
    ) -> None:
        self.plan = plan
        folds = folds_in(samples)
        self.size = len(folds)
        self._device = device
        #: The indices of the images of each fold.
        self._places: Dict[int, List[int]] = {
            fold: [i for i, each in enumerate(folds) if each == fold]
            for fold in sorted(set(folds))
        }
        everyone = list(range(len(plan.names)))
        #: The images of each fold, and the students that see it.
        self.by_fold = [
            Group(
                fold,
                everyone if fold == NO_FOLD else plan.seeing(fold),
                self._tensor(places),
            )
            for fold, places in self._places.items()
        ]
        #: The images that each student sees; students that see the same images
        #: form one group.
        self.by_student = []
        for own in (*range(plan.num_folds), None):
            students = plan.blind_to(own)
            if students:
                rows = self._tensor(self._seen(own))
                self.by_student.append(Group(NO_FOLD, students, rows))
        self._group_of = {
            plan.names[i]: group for group in self.by_student for i in group.students
        }

    def seen(self, name: str) -> torch.Tensor:
        """Return the sorted indices of the images that a student sees."""
        return self._group_of[name].rows

    def blind(self, name: str) -> torch.Tensor:
        """Return the indices of the images whose label a student never sees:
        those of its fold, and those in no fold."""
        own = self.plan.fold_of.get(name)
        places = [] if own is None else self._places.get(own, [])
        return self._tensor(sorted(places + self._places.get(NO_FOLD, [])))

    def spread(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Scatter the logits of some images into a whole batch.

        Args:
            rows (Tensor): The indices of R images.
            logits (Tensor): The logits (R, C) of these images.

        Returns:
            Tensor: (B, C); 0 for the other images, which no loss reads.
        """
        if len(rows) == self.size:
            return logits
        return logits.new_zeros(self.size, logits.shape[1]).index_copy(0, rows, logits)

    def _seen(self, own: Optional[int]) -> List[int]:
        return sorted(
            place
            for fold, places in self._places.items()
            if fold != own
            for place in places
        )

    def _tensor(self, places: List[int]) -> torch.Tensor:
        return torch.tensor(places, dtype=torch.long, device=self._device)


def folds_in(samples: Optional[Sequence[BaseDataElement]]) -> List[int]:
    """Return the fold of each sample, -1 for none.

    Raises:
        ValueError: If there are no samples, or one does not know its fold.
    """
    folds: List[Any] = [sample.get('fold') for sample in samples or ()]
    if not folds or None in folds:
        raise ValueError(
            f'Invalid batch: expected the `fold` of every sample, as `{KEY}` is set, '
            "got none. Add default_hooks=dict(folds=dict(type='mmdckd.FoldsHook'))."
        )
    return folds


def take_rows(
    rows: torch.Tensor, inputs: torch.Tensor, samples: Sequence[BaseDataElement]
) -> Tuple[torch.Tensor, List[BaseDataElement]]:
    """Select images of a batch, and their samples."""
    if len(rows) == len(inputs):
        return inputs, list(samples)
    taken = inputs.index_select(0, rows)
    if inputs.is_contiguous(memory_format=torch.channels_last):
        taken = taken.contiguous(memory_format=torch.channels_last)
    return taken, [samples[i] for i in rows.tolist()]
