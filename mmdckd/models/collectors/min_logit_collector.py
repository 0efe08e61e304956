# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch

from mmdckd.registry import MODELS

from .fold_collector import FoldCollector
from .labels import cross_entropy, required_labels


@MODELS.register_module()
class MinLogitCollector(FoldCollector):
    r"""Takes, for each class, the smallest margin over the label's logit among
    the members.

    .. math::
        C_i = \mathrm{softmax}(z_i^{min} / \tau), \qquad
        z_i^{min}[c] = \min_{j \in S_i} \Bigl(
            z_j[c] - \sum_k y_k z_j[k]\Bigr)

    KDCL-MinLogit of `Online Knowledge Distillation via Collaborative Learning
    <https://openaccess.thecvf.com/content_CVPR_2020/html/Guo_Online_Knowledge_Distillation_via_Collaborative_Learning_CVPR_2020_paper.html>`_
    (Guo et al., CVPR 2020), where the set is all students
    (``include_self=True``). For a class index y, the reference is
    :math:`z_j[y]`, as in the paper; for soft labels it is the expected logit,
    this project's extension. The code uses :math:`\log P_j` for
    :math:`z_j / \tau`, as the constant of each row cancels.

    The arguments are those of :class:`BaseCollector`.
    """  # noqa: E501

    needs_labels = True

    def values(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor], tau: float
    ) -> torch.Tensor:
        """Compute the margins over the label's logit.

        Raises:
            ValueError: If there are no labels.
        """
        labels = required_labels(gt_labels, log_probs.shape[-1], log_probs.dtype, self)
        return log_probs + cross_entropy(log_probs, labels)

    def fold(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.minimum(a, b)

    def normalize(self, folded: torch.Tensor, size: int) -> torch.Tensor:
        return folded.softmax(-1)
