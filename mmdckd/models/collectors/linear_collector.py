# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional

import torch

from mmdckd.registry import MODELS

from .base_collector import BaseCollector
from .best_combination import best_combination
from .labels import cross_entropy, required_labels


@MODELS.register_module()
class LinearCollector(BaseCollector):
    r"""Takes, for each image, the convex combination of the members' logits that
    predicts the label best.

    .. math::
        C_i = \mathrm{softmax}\Bigl(
              \frac{1}{\tau} \sum_{j \in S_i} \alpha_j z_j\Bigr), \qquad
        \alpha = \operatorname*{argmin}_{\alpha \ge 0,\ \sum_j \alpha_j = 1}
                 H\Bigl(y, \mathrm{softmax}\bigl(
                 \sum_{j \in S_i} \alpha_j z_j\bigr)\Bigr)

    KDCL-Linear of `Online Knowledge Distillation via Collaborative Learning
    <https://openaccess.thecvf.com/content_CVPR_2020/html/Guo_Online_Knowledge_Distillation_via_Collaborative_Learning_CVPR_2020_paper.html>`_
    (Guo et al., CVPR 2020), where the set is all students
    (``include_self=True``). The problem is convex with one unknown a member,
    and is solved for all images of a batch at once by :func:`best_combination`.
    Without ``include_self``, each student has its own problem, and those of all
    students are solved at once.

    The arguments are those of :class:`BaseCollector`.
    """  # noqa: E501

    needs_labels = True

    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        labels = required_labels(gt_labels, log_probs.shape[-1], log_probs.dtype, self)
        margins = tau * (log_probs + cross_entropy(log_probs, labels))
        alpha = best_combination(margins.transpose(0, 1))
        log_target = torch.einsum('bk,kbc->bc', alpha.to(log_probs), log_probs)
        return log_target.softmax(-1)

    def _collect_sets(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
        tau: float,
    ) -> torch.Tensor:
        if self.include_self:
            return super()._collect_sets(students, teachers, gt_labels, tau)
        number = len(students)
        peers = [torch.cat([students[:i], students[i + 1 :]]) for i in range(number)]
        parts = [torch.stack(peers, 1)]
        if teachers is not None:
            if teachers.ndim == 3:
                teachers = teachers.unsqueeze(1).expand(-1, number, -1, -1)
            parts.append(teachers)
        return self.collect_all(torch.cat(parts), gt_labels, tau)
