# Copyright (c) mmdckd contributors. All rights reserved.
"""Let configs refer to Python objects by name.

A config is text. If a network or a dataset exists only in this process, the
config contains a name for it: :func:`giving` registers the object, and
:func:`take` looks it up.
"""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping

_GIVEN: Dict[str, Any] = {}


@contextmanager
def giving(objects: Mapping[str, Any]) -> Iterator[None]:
    """Register objects that configs can name inside this context.

    Args:
        objects (Mapping[str, Any]): Name to object.
    """
    before = dict(_GIVEN)
    _GIVEN.update(objects)
    try:
        yield
    finally:
        _GIVEN.clear()
        _GIVEN.update(before)


def take(name: str, key: str) -> Any:
    """Look up an object that a config names.

    Args:
        name (str): The name of the object.
        key (str): The config key of the name, for the error message.

    Returns:
        Any: The object.

    Raises:
        ValueError: If no object of this name is registered in this process.
    """
    if name not in _GIVEN:
        raise ValueError(
            f'Invalid `{key}`: expected an object that was given to mmdckd.distill '
            f'in this process, got {name!r}. Call mmdckd.distill again with it. To '
            'build a network from its config only, pass it as '
            "'python:package.module.function'."
        )
    return _GIVEN[name]
