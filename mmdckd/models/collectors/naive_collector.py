# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector
from .labels import cross_entropy, required_labels


@MODELS.register_module()
class NaiveCollector(FoldCollector):
    r"""Takes, for each image, the member that predicts the label best.

    .. math::
        C_i = P_{j^*}, \qquad
        j^* = \operatorname*{argmin}_{j \in S_i} H(y, softmax(z_j))

    KDCL-Naive of `Online Knowledge Distillation via Collaborative Learning
    <https://openaccess.thecvf.com/content_CVPR_2020/html/Guo_Online_Knowledge_Distillation_via_Collaborative_Learning_CVPR_2020_paper.html>`_
    (Guo et al., CVPR 2020), where the set is all students
    (``include_self=True``). The comparison uses unsoftened predictions, as in
    the paper. Members with exactly equal cross-entropies are averaged.

    The arguments are those of :class:`BaseCollector`.
    """  # noqa: E501

    needs_labels = True

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        """Compute the probabilities, a count of 1, and the cross-entropy.

        Raises:
            ValueError: If there are no labels.
        """
        labels = required_labels(gt_labels, log_probs.shape[-1], log_probs.dtype, self)
        loss = cross_entropy((tau * log_probs).log_softmax(-1), labels)
        return torch.cat([log_probs.exp(), torch.ones_like(loss), loss], -1)

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        best = torch.minimum(a[..., -1:], b[..., -1:])
        kept = a[..., :-1] * (a[..., -1:] == best) + b[..., :-1] * (b[..., -1:] == best)
        return torch.cat([kept, best], -1)

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return folded[..., :-2] / folded[..., -2:-1]
