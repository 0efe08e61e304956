# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector
from .labels import required_labels


@MODELS.register_module()
class ConfidenceCollector(FoldCollector):
    r"""Averages the members, weighted by their confidence in the label.

    .. math::
        C_i = \frac{\sum_{j \in S_i} w_j P_j}{\sum_{j \in S_i} w_j}, \qquad
        w_j = \sum_k y_k\, softmax(z_j)[k]

    For each image, the weight of a member is its unsoftened probability of the
    label; for soft labels, the expected probability.

    The arguments are those of :class:`BaseCollector`.
    """

    needs_labels = True

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        """Compute the logarithms of :math:`w_j P_j`, which do not underflow.

        Raises:
            ValueError: If there are no labels.
        """
        labels = required_labels(gt_labels, log_probs.shape[-1], log_probs.dtype, self)
        sharp = (tau * log_probs).log_softmax(-1)
        return log_probs + (sharp + labels.log()).logsumexp(-1, keepdim=True)

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.logaddexp(a, b)

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return folded.softmax(-1)
