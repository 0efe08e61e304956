# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable

import torch


def leave_one_out(
    fold: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], values: torch.Tensor
) -> torch.Tensor:
    r"""Fold all values but one, for each one, with O(N) folds.

    .. math::
        o_i = (v_1 \circ \dots \circ v_{i-1}) \circ
              (v_{i+1} \circ \dots \circ v_N)

    What stands before and what stands after is carried along, so nothing is
    ever taken back out of a total: no cancellation, and any associative
    operation will do.

    Args:
        fold (Callable): The associative operation.
        values (Tensor): N >= 2 values, of shape (N, ...).

    Returns:
        Tensor: Of shape (N, ...).
    """
    first, *inner, last = values
    after = [last]
    for value in reversed(inner):
        after.append(fold(value, after[-1]))
    out, before = [after.pop()], first
    for value in inner:
        out.append(fold(before, after.pop()))
        before = fold(before, value)
    return torch.stack([*out, before])
