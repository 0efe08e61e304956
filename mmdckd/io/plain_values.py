# Copyright (c) mmdckd contributors. All rights reserved.
import math
from typing import Any

import numpy as np
import torch


def plain_values(value: Any) -> Any:
    """Convert the result of a metric to types that JSON and YAML support.

    Args:
        value (Any): Numbers, strings, tensors and arrays, and dicts, lists,
            tuples and sets of them.

    Returns:
        Any: The value with Python's types; None for NaN and infinity, which JSON
        does not support, and the text of any other object.
    """
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain_values(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_values(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
