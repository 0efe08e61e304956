# Copyright (c) mmdckd contributors. All rights reserved.
"""Read config files that may inherit from themselves."""

from contextlib import contextmanager
from typing import Iterator

from mmengine.config import Config

from .nesting import bounded_nesting

#: Python's own limit. A base of a base takes a few calls and an open file.
_DEEPEST = 1000


def read_config(path: str) -> Config:
    """Read a config file as MMEngine does.

    Args:
        path (str): The file.

    Returns:
        Config: The config.

    Raises:
        CircularConfigError: If it inherits from itself.
    """
    with refusing_circles(path):
        return Config.fromfile(path)


class CircularConfigError(ValueError):
    """A config inherits from itself."""


@contextmanager
def refusing_circles(path: str) -> Iterator[None]:
    """Refuse a config that inherits from itself while it is read in this context.

    MMEngine reads its bases until the memory ends, as importing mmrazor raises the
    recursion limit.

    Args:
        path (str): The file.

    Raises:
        CircularConfigError: If it does.
    """
    try:
        with bounded_nesting(_DEEPEST):
            yield
    except RecursionError as error:
        raise CircularConfigError(
            f'Invalid config {path!r}: expected `_base_` to name other files, got one '
            'that inherits from itself, directly or by its bases.'
        ) from error
