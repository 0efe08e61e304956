# Copyright (c) mmdckd contributors. All rights reserved.
import math

import torch

_COOLING = 14
_HALVINGS = 8
_HUGE = 3e4


def best_combination(margins: torch.Tensor, gap: float = 1e-5) -> torch.Tensor:
    r"""Minimize the cross-entropy of convex combinations of logits.

    .. math::
        \min_{\alpha \ge 0,\ \sum_j \alpha_j = 1}
        \log \sum_c \exp \sum_j \alpha_j m_j[c]

    by a barrier method (Boyd and Vandenberghe, Convex Optimization, section
    11.3): Newton steps within the simplex on

    .. math::
        \log \sum_c \exp \Bigl(\frac{1}{T} \sum_j \alpha_j m_j[c]\Bigr)
        - \mu \sum_j \log \alpha_j

    where T falls from the largest margin to 1, and then :math:`\mu` falls to
    nearly 0. Starting at a large T makes large logits as easy as small ones.

    Args:
        margins (Tensor): m (B, K, C), of B independent problems: the logits of
            K members minus the expected logit under the labels.
        gap (float): The largest distance to the minimum, in nats. Defaults to
            1e-5.

    Returns:
        Tensor: :math:`\alpha` (B, K) in float64; rows sum to 1.
    """
    margins = margins.double()
    num_problems, num_members, _ = margins.shape
    alpha = margins.new_full((num_problems, num_members), 1 / num_members)
    if num_members == 1:
        return alpha
    largest = margins.abs().amax((1, 2), keepdim=True).clamp_min(1)
    # If margins are huge, only their proportions matter: the minimum is at the
    # smallest largest combined margin.
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

    # Stay inside the simplex, and backtrack until the value decreases.
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
