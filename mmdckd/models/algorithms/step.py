# Copyright (c) mmdckd contributors. All rights reserved.
"""The inputs of a training step, and what it records."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.structures import BaseDataElement

from ..cohorts.batch_folds import BatchFolds
from ..distillers.recorders import Tensors

#: What messages call a finished peer.
FINISHED = 'a finished peer'


@dataclass
class View:
    """A batch as a student sees it.

    Attributes:
        inputs (Tensor): Preprocessed images (B, 3, H, W).
        samples (List[DataSample], optional): B data samples.
    """

    inputs: torch.Tensor
    samples: Optional[List[BaseDataElement]]


def split_views(
    inputs: Any, samples: Any, views: str, channels_last: bool
) -> List[View]:
    """Return the views of a batch: one for all students, or one for each.

    Args:
        inputs (Tensor | List[Tensor]): Preprocessed images (B, 3, H, W), or
            one such tensor per view.
        samples (list, optional): B data samples, or one such list per view.
        views (str): ``'shared'`` or ``'independent'``.
        channels_last (bool): Whether to convert a shared view to the
            channels-last format once, instead of in every member's first
            layer.
    """
    if views == 'independent':
        return list(map(View, inputs, samples))
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return [View(inputs, samples)]


@dataclass
class StepRecord:
    """What one training step recorded: tensors by recorder name.

    ``'logits'`` are always recorded for collective losses, and so is
    everything named by their
    :attr:`~mmdckd.models.losses.BaseCollectiveLoss.inputs`.

    Attributes:
        samples (List[DataSample], optional): The batch, with its labels.
        students (Dict[str, Tensors]): Each student's tensors; without
            collective losses they are empty.
        teachers (List[List[Tensors]]): The tensors of M teachers, on the
            shared view or on each of N views; empty if the teachers did not
            run.
        peers (Dict[str, Tensors]): The tensors of each student's lagged copy,
            or its held-out logits; empty without such peers.
        finished (List[List[Tensors]]): The tensors of P finished peers, as in
            ``teachers``; empty without finished peers.
        folds (BatchFolds, optional): Which images each student sees. Defaults
            to None: all of them.
        arrive (Callable, optional): Waits for tensors of teachers and finished
            peers that other processes are sending, and completes the record.
            Defaults to None: there are none.
    """

    samples: Optional[List[BaseDataElement]] = None
    students: Dict[str, Tensors] = field(default_factory=dict)
    teachers: List[List[Tensors]] = field(default_factory=list)
    peers: Dict[str, Tensors] = field(default_factory=dict)
    finished: List[List[Tensors]] = field(default_factory=list)
    folds: Optional[BatchFolds] = None
    arrive: Optional[Callable[[], None]] = None

    def owners(self) -> List[Tuple[Optional[str], torch.Tensor]]:
        """Return every tensor that is learned from, with its student; None stands
        for a teacher, :data:`FINISHED` for a finished peer."""
        members: List[Tuple[Optional[str], Tensors]] = list(self.students.items())
        members += [(None, each) for view in self.teachers for each in view]
        members += [(FINISHED, each) for view in self.finished for each in view]
        return [(owner, x) for owner, each in members for x in each.values()]
