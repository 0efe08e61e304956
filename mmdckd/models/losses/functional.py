# Copyright (c) mmdckd contributors. All rights reserved.
"""Numerically safe functions that the losses are composed of."""

from typing import Optional

import torch

from ..collectors.labels import soft_labels

#: The log-probability of a logit of -infinity. It is finite, so that 0 log 0 is 0.
LEAST = -1e30


def scale(logits: torch.Tensor, tau: float) -> torch.Tensor:
    r"""Compute :math:`z / \tau`, minus the largest value of the row if it could
    overflow."""
    if tau < 1:
        logits = logits - logits.detach().amax(-1, keepdim=True)
    return logits / tau


def soften(logits: torch.Tensor, tau: float = 1.0) -> torch.Tensor:
    r"""Compute :math:`\log softmax(z / \tau)`.

    Args:
        logits (Tensor): z (..., C), in float32 or float64.
        tau (float): Temperature. Defaults to 1.0.

    Returns:
        Tensor: (..., C), clamped to :data:`LEAST`; clamped classes get no
        gradient. NaN if a logit of the row is NaN or infinity, or all are
        -infinity.
    """
    return scale(logits, tau).log_softmax(-1).clamp_min(LEAST)


def divergence(target: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    r"""Compute :math:`KL(P_t \| P) = \sum_c P_t[c] \log (P_t[c] / P[c])`.

    Args:
        target (Tensor): Probabilities :math:`P_t` (..., B, C), detached; a
            class of probability 0 contributes 0.
        log_probs (Tensor): Finite :math:`\log P` (..., B, C).

    Returns:
        Tensor: The mean over the batch, in nats, (...).
    """
    log_target = target.clamp_min(torch.finfo(target.dtype).tiny).log()
    return (target * (log_target - log_probs)).sum(-1).mean(-1)


def entropy(log_probs: torch.Tensor) -> torch.Tensor:
    r"""Compute :math:`H(P) = -\sum_c P[c] \log P[c]`.

    Args:
        log_probs (Tensor): Finite :math:`\log P` (..., C).

    Returns:
        Tensor: In nats, (...).
    """
    return -(log_probs.exp() * log_probs).sum(-1)


def without_target(
    log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor]
) -> torch.Tensor:
    r"""Compute :math:`\log Q` of the other classes,
    :math:`Q \propto P (1 - y)`.

    Args:
        log_probs (Tensor): Finite :math:`\log P` (..., B, C).
        gt_labels (Tensor): Class indices (B,) or probabilities (B, C).

    Returns:
        Tensor: Finite, (..., B, C).

    Raises:
        ValueError: If there are no labels, or no other class.
    """
    num_classes = log_probs.shape[-1]
    if gt_labels is None or num_classes < 2:
        raise ValueError(
            'Invalid `gt_labels`: expected labels and at least two classes, got '
            f'{gt_labels} and {num_classes} class(es).'
        )
    labels = soft_labels(gt_labels, num_classes, log_probs.dtype)
    log_rest = torch.log1p(-labels.clamp(max=1)).clamp_min(LEAST)
    return (log_probs + log_rest).log_softmax(-1)
