# Copyright (c) mmdckd contributors. All rights reserved.
import torch

from ..precision import at_least_float32

#: Keeps a constant row of logits from being divided by 0.
EPS = 1e-7


def standardize(logits: torch.Tensor) -> torch.Tensor:
    r"""Give each row of logits mean 0 and standard deviation 1 (Z-score).

    .. math:: \hat z = (z - \bar z) / (\sigma_z + 10^{-7})

    with the mean and the unbiased standard deviation over the classes. A
    student then learns how the teacher's logits relate, not how large they
    are: `Logit Standardization in Knowledge Distillation
    <https://arxiv.org/abs/2403.01427>`_ (LSKD, Sun et al., CVPR 2024).

    Args:
        logits (Tensor): z (..., C), with two classes or more.

    Returns:
        Tensor: Of the same shape; in float32, or float64 of float64. A
        constant row becomes 0, with a gradient that is finite.

    Raises:
        ValueError: If there is one class.
    """
    if logits.shape[-1] < 2:
        raise ValueError(
            'Invalid `standardize`: expected False for a single '
            'class, which has no standard deviation, got True.'
        )
    logits = at_least_float32(logits)
    centered = logits - logits.mean(-1, keepdim=True)
    # The norm has a gradient at 0, torch.std has none.
    norm = torch.linalg.vector_norm(centered, dim=-1, keepdim=True)
    return centered / (norm / (logits.shape[-1] - 1) ** 0.5 + EPS)
