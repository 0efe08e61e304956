# Copyright (c) mmdckd contributors. All rights reserved.
"""Parse untrusted text that may be nested very deeply."""

import sys
from contextlib import contextmanager
from typing import Iterator

_DEEPEST = 3000


@contextmanager
def bounded_nesting(deepest: int = _DEEPEST) -> Iterator[None]:
    """Make Python's parsers raise RecursionError for deep nesting.

    Importing mmrazor raises the recursion limit to a million. With this limit,
    the recursive parsers of Python and JSON crash the process.

    Args:
        deepest (int): The recursion limit. Defaults to 3000.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, deepest))
    try:
        yield
    finally:
        # An import, such as that of mmrazor, may have raised it.
        sys.setrecursionlimit(max(before, sys.getrecursionlimit()))
