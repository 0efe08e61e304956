from typing import List

import torch
from mmpretrain.structures import DataSample


def ensemble_predictions(
        predictions: List[List[DataSample]]) -> List[DataSample]:
    """The prediction of an ensemble: the mean of its members' probabilities.

    Args:
        predictions (List[List[DataSample]]): For each of N members, its B
            predictions with ``pred_score`` (C,).

    Returns:
        List[DataSample]: B new samples with the mean ``pred_score`` and its
        largest class as ``pred_label``.
    """
    ensemble = []
    for samples in zip(*predictions):
        score = torch.stack([s.pred_score for s in samples]).mean(0)
        sample = samples[0].new()
        sample.set_pred_score(score)
        sample.set_pred_label(score.argmax(0, keepdim=True))
        ensemble.append(sample)
    return ensemble
