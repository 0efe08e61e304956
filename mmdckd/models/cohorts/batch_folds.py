# Copyright (c) mmdckd contributors. All rights reserved.
"""The folds of the images of one batch."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmengine.structures import BaseDataElement

from ..tasks.labels import without_labels
from .fold_plan import KEY, FoldPlan

#: The fold of an image without a label, as in :mod:`mmdckd.datasets.folds`.
NO_FOLD = -1


class Group(NamedTuple):
    """Images of a batch, and the students that see them all.

    Attributes:
        fold (int): Their fold; -1 for images of several folds, or of none.
        students (List[int]): The students, counted from 0.
        rows (Tensor): The places of the images in the batch.
    """

    fold: int
    students: List[int]
    rows: torch.Tensor


class BatchFolds:
    """Tells which images of a batch each student sees.

    An image without a label is in no fold: every student sees it, and is
    blind to its label.

    Args:
        plan (FoldPlan): Which student is blind to which fold.
        samples (Sequence[DataSample], optional): The batch; each sample has
            its ``fold``, which :class:`~mmdckd.engine.hooks.FoldsHook` sets.
        device (torch.device): Where the batch is.

    Attributes:
        plan (FoldPlan): As given.
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
        samples = samples or ()
        self.size = len(samples)
        unlabeled = set(without_labels(samples))
        folds = []
        for i, sample in enumerate(samples):
            fold = NO_FOLD if i in unlabeled else sample.get('fold')
            if fold is None:
                raise ValueError(
                    'Invalid batch: expected the `fold` of every sample, as '
                    f'`{KEY}` is set, got none. Add default_hooks=dict(folds=dict('
                    "type='mmdckd.FoldsHook'))."
                )
            folds.append(fold)
        self._device = device
        #: The places of the images of each fold.
        self._places: Dict[int, List[int]] = {
            fold: [i for i, each in enumerate(folds) if each == fold]
            for fold in sorted(set(folds))
        }
        everyone = list(range(len(plan.names)))
        #: The images of each fold, with the students that see it.
        self.by_fold = [
            Group(
                fold,
                everyone if fold == NO_FOLD else plan.seeing(fold),
                self._tensor(places),
            )
            for fold, places in self._places.items()
        ]
        #: The images that each student sees; students that see the same are
        #: together.
        self.by_student = []
        for own in (*range(plan.num_folds), None):
            students = [
                i for i, name in enumerate(plan.names) if plan.fold_of.get(name) == own
            ]
            if students:
                rows = self._tensor(self._seen(own))
                self.by_student.append(Group(NO_FOLD, students, rows))
        self._group_of = {
            plan.names[i]: group for group in self.by_student for i in group.students
        }

    def seen(self, name: str) -> torch.Tensor:
        """The places of the images that a student sees, ascending."""
        return self._group_of[name].rows

    def blind(self, name: str) -> torch.Tensor:
        """The places of the images whose label a student has never seen:
        those of its fold, and those without a label."""
        own = self.plan.fold_of.get(name)
        places = [] if own is None else self._places.get(own, [])
        return self._tensor(sorted(places + self._places.get(NO_FOLD, [])))

    def spread(self, rows: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Put the logits of some images in their places.

        Args:
            rows (Tensor): The places of R images.
            logits (Tensor): Their logits (R, C).

        Returns:
            Tensor: (B, C); 0 elsewhere, where no loss looks.
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


def take_rows(
    rows: torch.Tensor, inputs: torch.Tensor, samples: Sequence[BaseDataElement]
) -> Tuple[torch.Tensor, List[BaseDataElement]]:
    """Some images of a batch, and their samples."""
    if len(rows) == len(inputs):
        return inputs, list(samples)
    taken = inputs.index_select(0, rows)
    if inputs.is_contiguous(memory_format=torch.channels_last):
        taken = taken.contiguous(memory_format=torch.channels_last)
    return taken, [samples[i] for i in rows.tolist()]
