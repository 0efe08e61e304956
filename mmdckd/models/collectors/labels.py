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

    Values are looked at on the CPU alone: on another device, a look makes it
    wait.

    Args:
        gt_labels (Tensor): Class indices (B,), or probabilities (B, C). An image
            without labels, where nothing looks at them, is -1.
        batch_size (int): B.
        num_classes (int): C.
        exclusive_for (Sequence[str]): What needs classes that exclude each
            other, so that a row sums to 1, for the message. An image with
            several labels, each of probability 1, has no such row. Defaults
            to none.

    Raises:
        ValueError: If shape or type is another, an index is not in
            0, ..., C - 1, or a row of probabilities has a negative entry or
            does not sum to 1 (to within 0.01, for what half precision loses),
            or is not finite.
        TypeError: If they are no tensor.
    """
    if not isinstance(gt_labels, torch.Tensor):
        raise TypeError(
            f'`gt_labels` is a tensor, but got a {type(gt_labels).__name__}.'
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
            f'labels are class indices of shape {(batch_size,)}, or '
            f'probabilities of shape {(batch_size, num_classes)}, but '
            f'`gt_labels` is {gt_labels.dtype} of shape {shape}.'
        )
    if gt_labels.device.type != 'cpu':
        return
    if hard:
        # Nothing looks at the label of an image that has none.
        least = 0 if exclusive_for else NO_LABEL
        wrong = gt_labels[(gt_labels < least) | (gt_labels >= num_classes)]
        if len(wrong):
            raise ValueError(
                f'`gt_labels`: label {wrong[0].item()} is out of range: the '
                f'logits have {num_classes} classes, 0 to {num_classes - 1}.'
            )
        return
    if not gt_labels.isfinite().all():
        raise ValueError('`gt_labels` are probabilities, but some are not finite.')
    if not exclusive_for:
        return
    sums = gt_labels.double().sum(-1)
    if (gt_labels < 0).any() or not ((sums - 1).abs() < 1e-2).all():
        raise ValueError(
            f'Invalid `gt_labels` for {" and ".join(exclusive_for)}: expected one '
            'class an image, or a mixture (mixup, CutMix, soft labels) that is '
            'non-negative and sums to 1, got entries from '
            f'{gt_labels.min().item():g} and sums of {sums.min().item():g} to '
            f'{sums.max().item():g}. For images with several labels choose '
            "what looks at no labels, such as collector='logit_mean' and "
            "correlation='all'."
        )


def soft_labels(
    gt_labels: torch.Tensor, num_classes: int, dtype: torch.dtype
) -> torch.Tensor:
    """Write labels as probabilities.

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
    """Write labels as probabilities where something cannot do without.

    Args:
        gt_labels (Tensor, optional): Class indices (B,), or probabilities
            (B, C).
        num_classes (int): C.
        dtype (torch.dtype): Type of the result.
        who (object): What needs them, for the message.

    Returns:
        Tensor: (B, C).

    Raises:
        ValueError: If there are none.
    """
    if gt_labels is None:
        raise ValueError(
            f'{type(who).__name__} looks at labels, but `gt_labels` is None: '
            'give labels, or choose another `collector`.'
        )
    return soft_labels(gt_labels, num_classes, dtype)


def cross_entropy(log_probs: torch.Tensor, gt_labels: torch.Tensor) -> torch.Tensor:
    r"""Cross-entropy of the labels with what members predict.

    .. math:: H(y, P_j) = -\sum_c y_c \log P_j[c]

    Args:
        log_probs (Tensor): Log-probabilities (..., B, C).
        gt_labels (Tensor): Probabilities (B, C).

    Returns:
        Tensor: (..., B, 1), in nats.
    """
    return -(log_probs * gt_labels).sum(-1, keepdim=True)
