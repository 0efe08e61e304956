# Copyright (c) mmdckd contributors. All rights reserved.
"""What goes into a training step, and what it records."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import torch
from mmengine.structures import BaseDataElement

from ..cohorts.batch_folds import BatchFolds
from ..distillers.recorders import Tensors


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
    """The views of a batch: one that all students see, or one for each.

    Args:
        inputs (Tensor | List[Tensor]): Preprocessed images (B, 3, H, W), or
            one such tensor a view.
        samples (list, optional): B data samples, or one such list a view.
        views (str): ``'shared'`` or ``'independent'``.
        channels_last (bool): Whether images that all see are laid out with
            channels last, once, and not in the first layer of every member.
    """
    if views == 'independent':
        return list(map(View, inputs, samples))
    if channels_last:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    return [View(inputs, samples)]


@dataclass
class StepRecord:
    """What one step has recorded: tensors by the name of their recorder.

    ``'logits'`` are recorded for every collective loss, and beside them what
    the losses' :attr:`~mmdckd.models.losses.BaseCollectiveLoss.inputs` name.

    Attributes:
        samples (List[DataSample], optional): The batch, with its labels.
        students (Dict[str, Tensors]): Student to its tensors; empty ones
            without collective losses.
        teachers (List[List[Tensors]]): Those of M teachers, on the view that
            all students see, or on each of N views; empty where they did not
            run.
        peers (Dict[str, Tensors]): Student to the tensors of its lagged copy,
            or to its held-out logits; empty without such peers.
        finished (List[List[Tensors]]): Those of P finished peers, as
            ``teachers``; empty without.
        folds (BatchFolds, optional): Which images each student sees. Defaults
            to None: all.
    """

    samples: Optional[List[BaseDataElement]] = None
    students: Dict[str, Tensors] = field(default_factory=dict)
    teachers: List[List[Tensors]] = field(default_factory=list)
    peers: Dict[str, Tensors] = field(default_factory=dict)
    finished: List[List[Tensors]] = field(default_factory=list)
    folds: Optional[BatchFolds] = None

    def owners(self) -> List[Tuple[Optional[str], torch.Tensor]]:
        """What learning is from, each tensor with the student whose it is;
        None of a teacher."""
        members: List[Tuple[Optional[str], Tensors]] = list(self.students.items())
        frozen = [*self.teachers, *self.finished]
        members += [(None, each) for view in frozen for each in view]
        return [(owner, x) for owner, each in members for x in each.values()]
