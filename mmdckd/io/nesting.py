# Copyright (c) mmdckd contributors. All rights reserved.
"""Parse untrusted text that may be nested very deeply."""

import sys
from contextlib import contextmanager
from typing import Iterator

_DEEPEST = 3000


@contextmanager
def bounded_nesting() -> Iterator[None]:
    """Make Python's parsers raise RecursionError for deep nesting.

    Importing mmrazor raises the recursion limit to a million. With this limit,
    the recursive parsers of Python and JSON crash the process.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
