# Copyright (c) mmdckd contributors. All rights reserved.
"""Parsing text that may be nested without end."""

import sys
from contextlib import contextmanager
from typing import Iterator

_DEEPEST = 3000


@contextmanager
def bounded_nesting() -> Iterator[None]:
    """Have Python's parsers raise RecursionError for deep nesting.

    mmrazor raises the limit of recursion to a million when it is imported.
    With it the parsers of Python and JSON, which are recursive, end the
    process.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, _DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
