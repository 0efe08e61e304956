# Copyright (c) mmdckd contributors. All rights reserved.
"""The task loss of a batch, some of whose images may have no labels."""

from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.heads import ArcFaceClsHead

from .labels import has_labels, labeled_rows

Samples = Optional[Sequence[BaseDataElement]]


def task_losses(
    network: Callable, inputs: torch.Tensor, samples: Samples
) -> Dict[str, torch.Tensor]:
    """Run a network on all images, and compute its task loss on those with
    labels.

    The network sees all images at once, its BatchNorm layers too, and its head
    gives the scores of all. The loss is what the head makes of the scores with
    labels, as if there were no others.

    Args:
        network (BaseModel): A classifier of MMPretrain.
        inputs (Tensor): Preprocessed images (B, 3, H, W).
        samples (Sequence[DataSample], optional): B data samples.

    Returns:
        Dict[str, Tensor]: The losses of its task; none where no image has
        labels.

    Raises:
        ValueError: If some images have no labels, and the head computes its
            loss in a way of its own.
    """
    rows = labeled_rows(samples)
    if has_labels(samples):
        return network(inputs, samples, mode='loss')
    if rows:
        return _loss_of_rows(rows, network, inputs, samples)
    network(inputs, samples, mode='tensor')
    return {}


def _loss_of_rows(
    rows: List[int], network: Any, inputs: torch.Tensor, samples: Samples
) -> Dict[str, torch.Tensor]:
    head = getattr(network, 'head', None) or network
    compute = getattr(head, '_get_loss', None)
    if compute is None or isinstance(head, ArcFaceClsHead):
        raise _other_head(head)
    chosen = torch.tensor(rows, device=inputs.device)
    called = []

    def of_rows(scores: Any, data_samples: Sequence, **kwargs: Any) -> dict:
        called.append(True)
        labeled = [data_samples[i] for i in rows]
        return compute(_select(scores, chosen), labeled, **kwargs)

    # Classifiers of MMPretrain hand the scores of a batch to this method.
    head._get_loss = of_rows
    try:
        losses = network(inputs, samples, mode='loss')
    finally:
        del head._get_loss
    if not called:
        raise _other_head(head)
    return losses


def _select(scores: Any, rows: torch.Tensor) -> Any:
    """Rows of the scores, also of several classifiers."""
    if isinstance(scores, torch.Tensor):
        return scores[rows]
    return type(scores)(_select(each, rows) for each in scores)


def _other_head(head: Any) -> ValueError:
    return ValueError(
        'Invalid `head`: expected one whose loss can be taken of labeled images '
        'alone, such as a LinearClsHead, as some images have no labels, got a '
        f'{type(head).__name__}.'
    )
