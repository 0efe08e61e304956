# Copyright (c) mmdckd contributors. All rights reserved.
"""Python objects that a config names, where it can describe them no other way.

A config is text. A network or a dataset that exists in this process alone has
a name in it; :func:`giving` says what the name stands for, :func:`take` asks.
"""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping

_GIVEN: Dict[str, Any] = {}


@contextmanager
def giving(objects: Mapping[str, Any]) -> Iterator[None]:
    """Let configs name these objects, inside this context.

    Args:
        objects (Mapping[str, Any]): The objects by name.
    """
    before = dict(_GIVEN)
    _GIVEN.update(objects)
    try:
        yield
    finally:
        _GIVEN.clear()
        _GIVEN.update(before)


def take(name: str, key: str) -> Any:
    """The object that a config names.

    Args:
        name (str): Its name.
        key (str): The config key of the name, for the message.

    Returns:
        Any: The object.

    Raises:
        ValueError: If no object of this name is given in this process.
    """
    if name not in _GIVEN:
        raise ValueError(
            f'Invalid `{key}`: expected an object that was given to mmdckd.distill '
            f'in this process, got {name!r}. Call mmdckd.distill again with it; a '
            'network that is to be built from its config alone has to be given as '
            "'python:package.module.function'."
        )
    return _GIVEN[name]
