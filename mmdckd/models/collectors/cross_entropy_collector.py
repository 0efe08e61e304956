# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector
from .labels import cross_entropy, required_labels


@MODELS.register_module()
class CrossEntropyCollector(FoldCollector):
    r"""Averages the members, giving less weight to a larger cross-entropy.

    .. math::
        C_i = \sum_{j \in S_i} w_j P_j, \qquad
        w_j = \frac{1}{|S_i| - 1} \Bigl(1 -
              \frac{\exp H_j}{\sum_{k \in S_i} \exp H_k}\Bigr), \qquad
        H_j = H(y, softmax(z_j))

    Each image and member has its own weight, as the teachers have in
    `Confidence-Aware Multi-Teacher Knowledge Distillation
    <https://arxiv.org/abs/2201.00007>`_ (Zhang et al., ICASSP 2022). A single
    member has weight 1. The paper weights one loss for each teacher; weighting
    the predictions has the same gradient.

    The arguments are those of :class:`BaseCollector`.
    """

    needs_labels = True

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        r"""Compute probabilities and the logarithms of :math:`P_j \exp H_j`.

        Raises:
            ValueError: If there are no labels.
        """
        labels = required_labels(gt_labels, log_probs.shape[-1], log_probs.dtype, self)
        loss = cross_entropy((tau * log_probs).log_softmax(-1), labels)
        return torch.cat([log_probs.exp(), log_probs + loss], -1)

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        (a, log_a), (b, log_b) = a.chunk(2, -1), b.chunk(2, -1)
        return torch.cat([a + b, torch.logaddexp(log_a, log_b)], -1)

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        total, log_losses = folded.chunk(2, -1)
        if size == 1:
            return total
        kept = (total - log_losses.softmax(-1)).clamp_min(0)
        return kept / kept.sum(-1, keepdim=True)
