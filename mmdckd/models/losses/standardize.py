# Copyright (c) mmdckd contributors. All rights reserved.
import torch

from ..precision import at_least_float32

#: Avoids a division by 0 for a constant row of logits.
EPS = 1e-7


def standardize(logits: torch.Tensor) -> torch.Tensor:
    r"""Standardize each row of logits to mean 0 and standard deviation 1.

    .. math:: \hat z = (z - \bar z) / (\sigma_z + 10^{-7})

    with the mean and the unbiased standard deviation over the classes. A
    student then learns the relations between the teacher's logits, not their
    magnitude: `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_ (LSKD, Sun et al., CVPR 2024).

    Args:
        logits (Tensor): z (..., C), with two classes or more.

    Returns:
        Tensor: The same shape, in float32 (float64 for float64). A constant row
        becomes 0, with a finite gradient.

    Raises:
        ValueError: If there is only one class.
    """
    if logits.shape[-1] < 2:
        raise ValueError(
            'Invalid `standardize`: expected False for a single '
            'class, which has no standard deviation, got True.'
        )
    logits = at_least_float32(logits)
    centered = logits - logits.mean(-1, keepdim=True)
    # At 0, the norm has a finite gradient, unlike torch.std.
    norm = torch.linalg.vector_norm(centered, dim=-1, keepdim=True)
    return centered / (norm / (logits.shape[-1] - 1) ** 0.5 + EPS)
