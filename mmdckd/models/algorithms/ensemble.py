# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional

import torch
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import DataSample
from torch import nn


def ensemble_predictions(predictions: List[List[DataSample]],
                         head: Optional[nn.Module] = None) -> List[DataSample]:
    """The prediction of an ensemble: the mean of its members' probabilities.

    Args:
        predictions (List[List[DataSample]]): For each of N members, its B
            predictions with ``pred_score`` (C,).
        head (nn.Module, optional): The head of a member, whose rule the
            labels follow. Defaults to None, that of one label.

    Returns:
        List[DataSample]: B new samples with the mean ``pred_score`` and its
        largest class as ``pred_label``; of a multi-label head, the classes
        that reach its ``thr``, or its ``topk`` largest.
    """
    ensemble = []
    for samples in zip(*predictions):
        score = torch.stack([s.pred_score for s in samples]).mean(0)
        sample = samples[0].new()
        sample.set_pred_score(score)
        sample.set_pred_label(_labels(score, head))
        ensemble.append(sample)
    return ensemble


def _labels(score: torch.Tensor, head: Optional[nn.Module]) -> torch.Tensor:
    if not isinstance(head, MultiLabelClsHead):
        return score.argmax(0, keepdim=True)
    if head.thr is not None:
        return torch.where(score >= head.thr)[0]
    return score.topk(head.topk).indices
