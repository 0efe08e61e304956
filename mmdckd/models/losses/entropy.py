# Copyright (c) mmdckd contributors. All rights reserved.
import torch


def entropy(log_probs: torch.Tensor) -> torch.Tensor:
    r"""Entropy of distributions given by their logarithms.

    .. math::
        H(p) = -\sum_c p_c \log p_c

    Args:
        log_probs (Tensor): Finite log-probabilities (..., C).

    Returns:
        Tensor: In nats, (...).
    """
    return -(log_probs.exp() * log_probs).sum(-1)
