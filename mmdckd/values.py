# Copyright (c) mmdckd contributors. All rights reserved.
"""What kind of number an option is; ``True`` is none."""

import math
from numbers import Real
from typing import Any, Optional


def is_whole(value: Any, least: Optional[int] = None) -> bool:
    """Tell whether a value is a whole number.

    Args:
        value (Any): The value.
        least (int, optional): The smallest number allowed. Defaults to None:
            negative numbers are allowed too.

    Returns:
        bool: Whether it is one; a bool and a float are not.

    Examples:
        >>> is_whole(-1), is_whole(1.0), is_whole(True), is_whole(0, least=1)
        (True, False, False, False)
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and (least is None or value >= least)


def is_finite_number(value: Any) -> bool:
    """Tell whether a value is a number that is neither infinite nor NaN.

    Args:
        value (Any): The value.

    Returns:
        bool: Whether it is one; a bool is not.

    Examples:
        >>> is_finite_number(0.5), is_finite_number(True), is_finite_number(1e999)
        (True, False, False)
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and math.isfinite(value)
