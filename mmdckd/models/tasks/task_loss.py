# Copyright (c) mmdckd contributors. All rights reserved.
"""The task loss of a batch that may contain unlabeled images."""

from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.heads import ArcFaceClsHead

from .labels import has_labels, labeled_rows

Samples = Optional[Sequence[BaseDataElement]]


def task_losses(
    network: Callable, inputs: torch.Tensor, samples: Samples
) -> Dict[str, torch.Tensor]:
    """Run a network on all images, and compute its task loss on labeled ones.

    The network, including its BatchNorm layers, sees all images at once. The
    head computes its loss from the scores of the labeled images only.

    Args:
        network (BaseModel): A classifier of MMPretrain.
        inputs (Tensor): Preprocessed images (B, 3, H, W).
        samples (Sequence[DataSample], optional): B data samples.

    Returns:
        Dict[str, Tensor]: The task losses; empty if no image has labels.

    Raises:
        ValueError: If some images have no labels, and the loss of the head
            cannot be restricted to labeled ones.
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

    # MMPretrain's heads compute their loss in this method.
    head._get_loss = of_rows
    try:
        losses = network(inputs, samples, mode='loss')
    finally:
        del head._get_loss
    if not called:
        raise _other_head(head)
    return losses


def _select(scores: Any, rows: torch.Tensor) -> Any:
    """Select rows of the scores of one or several classifiers."""
    if isinstance(scores, torch.Tensor):
        return scores[rows]
    return type(scores)(_select(each, rows) for each in scores)


def _other_head(head: Any) -> ValueError:
    return ValueError(
        'Invalid `head`: expected one whose loss can be restricted to labeled '
        'images, such as a LinearClsHead, as some images have no labels, got a '
        f'{type(head).__name__}.'
    )
