# Copyright (c) mmdckd contributors. All rights reserved.
import math
from typing import List, Optional

import torch

from mmdckd.registry import MODELS

from .base_collector import BaseCollector
from .labels import cross_entropy, required_labels

_COOLING = 14
_HALVINGS = 8
_HUGE = 3e4


@MODELS.register_module()
class LinearCollector(BaseCollector):
    r"""For each image the convex combination of the members' logits that
    predicts its label best.

    .. math::
        C_i = \mathrm{softmax}\Big(
              \frac{1}{\tau} \sum_{j \in S_i} \alpha_j z_j\Big), \qquad
        \alpha = \mathop{\mathrm{argmin}}_{\alpha \ge 0,\ \sum_j \alpha_j = 1}
                 H\Big(y, \mathrm{softmax}\big(
                 \sum_{j \in S_i} \alpha_j z_j\big)\Big)

    KDCL-Linear of `Online Knowledge Distillation via Collaborative Learning
    <https://openaccess.thecvf.com/content_CVPR_2020/html/Guo_Online_Knowledge_Distillation_via_Collaborative_Learning_CVPR_2020_paper.html>`_
    (Guo et al., CVPR 2020), whose set is all students: ``include_self=True``.
    The problem is convex and has as many unknowns as there are members; all
    images of a batch are solved at once, see :func:`best_combination`. Without
    ``include_self`` there is one problem a student.

    Args:
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.
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


def best_combination(margins: torch.Tensor, gap: float = 1e-5) -> torch.Tensor:
    r"""Minimise the cross-entropy of convex combinations of logits.

    .. math::
        \min_{\alpha \ge 0,\ \sum_j \alpha_j = 1}
        \log \sum_c \exp \sum_j \alpha_j m_j[c]

    by a barrier method (Boyd and Vandenberghe, Convex Optimization, section
    11.3): Newton's steps within the simplex on

    .. math::
        \log \sum_c \exp \Big(\frac{1}{T} \sum_j \alpha_j m_j[c]\Big)
        - \mu \sum_j \log \alpha_j

    where T falls from the largest margin to 1, and then :math:`\mu` to
    nearly 0. What T starts at makes large logits as easy as small ones.

    Args:
        margins (Tensor): m (B, K, C): the logits of K members less the one
            that the labels expect, of which there are B independent problems.
        gap (float): How far the least may be, in nats. Defaults to 1e-5.

    Returns:
        Tensor: :math:`\alpha` (B, K) in float64; rows sum to 1.
    """
    margins = margins.double()
    num_problems, num_members, _ = margins.shape
    alpha = margins.new_full((num_problems, num_members), 1 / num_members)
    if num_members == 1:
        return alpha
    largest = margins.abs().amax((1, 2), keepdim=True).clamp_min(1)
    # Where margins are huge, only their proportions count: the least is where
    # the largest combined margin is.
    margins = margins / (largest / _HUGE).clamp_min(1)
    largest = largest.clamp_max(_HUGE)
    for stage in range(_COOLING + 1):
        cooled = margins * largest ** (stage / _COOLING - 1)
        for _ in range(3):
            alpha = _newton_step(cooled, alpha, 0.1)
    for mu in torch.logspace(-2, math.log10(gap / num_members), steps=6).tolist():
        for _ in range(4):
            alpha = _newton_step(margins, alpha, mu)
    return alpha


def _newton_step(margins: torch.Tensor, alpha: torch.Tensor, mu: float) -> torch.Tensor:
    combined = torch.einsum('bk,bkc->bc', alpha, margins)
    probs = combined.softmax(-1)
    slope = torch.einsum('bkc,bc->bk', margins, probs)
    spread = (margins - slope.unsqueeze(-1)) * probs.sqrt().unsqueeze(1)
    hessian = spread @ spread.transpose(1, 2) + mu * alpha.pow(-2).diag_embed()
    grad = slope - mu / alpha
    solved = torch.linalg.solve_ex(
        hessian, torch.stack([grad, torch.ones_like(grad)], -1)
    )[0]
    by_grad, by_one = solved.unbind(-1)
    ratio = by_grad.sum(-1, keepdim=True) / by_one.sum(-1, keepdim=True)
    step = ratio * by_one - by_grad

    # Almost to the edge of the simplex at most, and back to where it is less.
    length = 0.95 / (-step / alpha).amax(-1, keepdim=True).clamp_min(0.95)
    descent = (grad * step).sum(-1, keepdim=True)
    change = torch.einsum('bk,bkc->bc', step, margins)
    start = _barrier(combined, alpha, mu)
    for _ in range(_HALVINGS):
        end = _barrier(combined + length * change, alpha + length * step, mu)
        less = end <= start + 0.1 * length * descent
        if less.all():
            break
        length = torch.where(less, length, length / 2)
    alpha = alpha + length * step
    return alpha / alpha.sum(-1, keepdim=True)


def _barrier(combined: torch.Tensor, alpha: torch.Tensor, mu: float) -> torch.Tensor:
    value = combined.logsumexp(-1) - mu * alpha.log().sum(-1)
    return value.unsqueeze(-1)
