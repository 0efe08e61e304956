# Copyright (c) mmdckd contributors. All rights reserved.
"""Check the weights that are to be converted."""

from typing import Any, Dict, Mapping

from torch import Tensor

from mmdckd.errors import shorten


def check_tensors(state_dict: Mapping[str, Any], dims: Dict[str, int]) -> None:
    """Check that a state dict has tensors only.

    Args:
        state_dict (Mapping[str, Any]): The content of a file.
        dims (Dict[str, int]): The number of dimensions, 1 or more, of the weights
            that describe the network. Those that are missing do not count.

    Raises:
        ValueError: If a value is no tensor, or such a weight has other dimensions
            or no elements.
    """
    others = [
        f'{key}: {_describe(value)}'
        for key, value in state_dict.items()
        if not isinstance(value, Tensor)
        or (key in dims and (value.ndim != dims[key] or not value.numel()))
    ]
    if others:
        raise ValueError(
            f'Invalid `src`: expected the weights of a network, got {shorten(others)}.'
        )


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'a tensor of shape {tuple(value.shape)}'
    return f'a {type(value).__name__}'
