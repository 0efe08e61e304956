# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable

import torch


def leave_one_out(fold: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
                  values: torch.Tensor) -> torch.Tensor:
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
    out = torch.empty_like(values)
    last = len(values) - 1
    out[last - 1] = after = values[last]
    for i in range(last - 1, 0, -1):
        out[i - 1] = after = fold(values[i], after)
    before = values[0]
    for i in range(1, last):
        out[i] = fold(before, out[i])
        before = fold(before, values[i])
    out[last] = before
    return out
