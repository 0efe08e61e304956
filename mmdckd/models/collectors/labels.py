# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Sequence

import torch

from ..tasks.labels import NO_LABEL


def check_labels(
    gt_labels: torch.Tensor,
    batch_size: int,
    num_classes: int,
    exclusive_for: Sequence[str] = (),
) -> None:
    """Check the labels of a batch.

    Values are checked on the CPU only, as reading them from another device
    would synchronize it.

    Args:
        gt_labels (Tensor): Class indices (B,), or probabilities (B, C). The
            index -1 stands for no label, if nothing needs labels.
        batch_size (int): B.
        num_classes (int): C.
        exclusive_for (Sequence[str]): The parts that need one class an image
            (or a mixture that sums to 1), for the error message. Defaults to ():
            an image may have several labels of probability 1.

    Raises:
        TypeError: If the labels are not a tensor.
        ValueError: If their shape or type is invalid, an index is not in
            0, ..., C - 1, a probability is not finite, or, with
            ``exclusive_for``, a row has a negative entry or does not sum to 1
            (to within 0.01, for half precision).
    """
    if not isinstance(gt_labels, torch.Tensor):
        raise TypeError(
            f'Invalid `gt_labels`: expected a tensor, got a {type(gt_labels).__name__}.'
        )
    shape = tuple(gt_labels.shape)
    whole = not (
        gt_labels.is_floating_point()
        or gt_labels.is_complex()
        or gt_labels.dtype == torch.bool
    )
    hard = shape == (batch_size,) and whole
    if gt_labels.is_complex() or not hard and shape != (batch_size, num_classes):
        raise ValueError(
            f'Invalid `gt_labels`: expected class indices of shape {(batch_size,)} '
            f'or probabilities of shape {(batch_size, num_classes)}, got '
            f'{gt_labels.dtype} of shape {shape}.'
        )
    if gt_labels.device.type != 'cpu':
        return
    if hard:
        # If nothing needs labels, an image may have none.
        least = 0 if exclusive_for else NO_LABEL
        wrong = gt_labels[(gt_labels < least) | (gt_labels >= num_classes)]
        if len(wrong):
            raise ValueError(
                f'Invalid `gt_labels`: expected labels from 0 to {num_classes - 1}, '
                f'the {num_classes} classes of the logits, got {wrong[0].item()}.'
            )
        return
    if not gt_labels.isfinite().all():
        raise ValueError(
            'Invalid `gt_labels`: expected finite probabilities, got NaN or infinity.'
        )
    if not exclusive_for:
        return
    sums = gt_labels.double().sum(-1)
    if (gt_labels < 0).any() or not ((sums - 1).abs() < 1e-2).all():
        raise ValueError(
            f'Invalid `gt_labels` for {" and ".join(exclusive_for)}: expected one '
            'class an image, or a mixture (mixup, CutMix, soft labels) that is '
            'non-negative and sums to 1, got entries from '
            f'{gt_labels.min().item():g} and sums of {sums.min().item():g} to '
            f'{sums.max().item():g}. For images with several labels, choose '
            "options that need no labels, such as collector='logit_mean' and "
            "correlation='all'."
        )


def soft_labels(
    gt_labels: torch.Tensor, num_classes: int, dtype: torch.dtype
) -> torch.Tensor:
    """Convert labels to probabilities.

    Args:
        gt_labels (Tensor): Class indices (B,), or probabilities (B, C).
        num_classes (int): C.
        dtype (torch.dtype): Type of the result.

    Returns:
        Tensor: (B, C), one-hot for class indices.
    """
    if gt_labels.ndim == 2:
        return gt_labels.to(dtype)
    one_hot = torch.zeros(
        len(gt_labels), num_classes, dtype=dtype, device=gt_labels.device
    )
    return one_hot.scatter_(1, gt_labels.long().unsqueeze(1), 1)


def required_labels(
    gt_labels: Optional[torch.Tensor], num_classes: int, dtype: torch.dtype, who: object
) -> torch.Tensor:
    """Convert labels to probabilities, and raise an error if there are none.

    Args:
        gt_labels (Tensor, optional): Class indices (B,), or probabilities
            (B, C).
        num_classes (int): C.
        dtype (torch.dtype): Type of the result.
        who (object): The object that needs labels, for the error message.

    Returns:
        Tensor: (B, C).

    Raises:
        ValueError: If there are none.
    """
    if gt_labels is None:
        raise ValueError(
            f'Invalid `gt_labels`: expected labels, which {type(who).__name__} '
            'needs, got None. Give labels, or choose another `collector`.'
        )
    return soft_labels(gt_labels, num_classes, dtype)


def cross_entropy(log_probs: torch.Tensor, gt_labels: torch.Tensor) -> torch.Tensor:
    r"""Compute the cross-entropy of the members' predictions and the labels.

    .. math:: H(y, P_j) = -\sum_c y_c \log P_j[c]

    Args:
        log_probs (Tensor): Log-probabilities (..., B, C).
        gt_labels (Tensor): Probabilities (B, C).

    Returns:
        Tensor: (..., B, 1), in nats.
    """
    return -(log_probs * gt_labels).sum(-1, keepdim=True)
