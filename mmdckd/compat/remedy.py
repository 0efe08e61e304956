# Copyright (c) mmdckd contributors. All rights reserved.
"""Define remedies: functions that work around one fault, if it is present."""

import functools
import sys
from typing import Callable, Dict, Optional

APPLIED: Dict[str, str] = {}
"""dict[str, str]: The remedies applied in this process, and the reasons."""


def remedy(function: Callable[[], Optional[str]]) -> Callable[[], bool]:
    """Decorate a function that returns the reason of its change, or None.

    The remedy is applied once and recorded in :data:`APPLIED`; it returns
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
    """Replace a function in all modules of MMEngine that have imported it."""
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] == 'mmengine':
            for key, value in list(vars(module).items()):
                if value is old:
                    setattr(module, key, new)
