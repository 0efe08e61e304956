# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable

import torch


def leave_one_out(
    fold: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], values: torch.Tensor
) -> torch.Tensor:
    r"""Fold all values but one, for each of N values, with O(N) operations.

    .. math::
        o_i = (v_1 \circ \ldots \circ v_{i-1}) \circ
              (v_{i+1} \circ \ldots \circ v_N)

    The folds of the values before and after each one are carried along.
    Nothing is subtracted from a total, so there is no cancellation, and any
    associative operation can be used.

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
