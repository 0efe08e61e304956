# Copyright (c) mmdckd contributors. All rights reserved.
"""What a remedy is: a function that mends one fault, if it is present."""

import functools
import sys
from typing import Callable, Dict, Optional

APPLIED: Dict[str, str] = {}
"""dict[str, str]: The remedies in effect in this process, and the reasons."""


def remedy(function: Callable[[], Optional[str]]) -> Callable[[], bool]:
    """Make a remedy of a function that returns its reason, or None.

    The remedy is applied once, is recorded in :data:`APPLIED`, and returns
    whether it changed something.
    """

    @functools.wraps(function)
    def apply() -> bool:
        name = function.__name__
        reason = None if name in APPLIED else function()
        if reason is not None:
            APPLIED[name] = reason
        return reason is not None

    return apply


def replace(old: Callable, new: Callable) -> None:
    """Put a function wherever MMEngine has imported another."""
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] == 'mmengine':
            for key, value in list(vars(module).items()):
                if value is old:
                    setattr(module, key, new)
