# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Iterator, Set

from torch import nn

from mmdckd.io.given import take

#: The method that initializes PyTorch's layers.
RESETS = ('reset_parameters', '_reset_parameters')


def build_network(name: str, num_classes: int, reset: bool = False) -> nn.Module:
    """Build a network from an object that exists only in this process.

    Args:
        name (str): The name of the object, see
            :func:`mmdckd.io.given.giving`. A network is copied; anything else
            is called with ``num_classes``.
        num_classes (int): The number of classes.
        reset (bool): Whether :func:`reset_parameters` initializes the copy
            again. Defaults to False.

    Returns:
        nn.Module: The network.

    Raises:
        ValueError: If no object has that name.
    """
    given = take(name, 'backbone.name')
    if not isinstance(given, nn.Module):
        return given(num_classes=num_classes)
    network = copy.deepcopy(given)
    if reset:
        reset_parameters(network)
    return network


def reset_parameters(network: nn.Module) -> None:
    """Initialize a network again, as PyTorch initializes its layers.

    It calls ``reset_parameters`` of every layer that has it, as all layers of
    PyTorch do. A module that contains others comes after them, as when it is
    created, so its own initialization of them stands. Parameters of other
    modules, for example a class token, keep their values.

    Args:
        network (nn.Module): The network, changed in place.
    """
    for module in _inner_first(network, set()):
        for name in RESETS:
            if hasattr(module, name):
                getattr(module, name)()
                break


def _inner_first(module: nn.Module, seen: Set[nn.Module]) -> Iterator[nn.Module]:
    """Yield each module once, after the modules that it contains."""
    if module in seen:
        return
    seen.add(module)
    for inner in module.children():
        yield from _inner_first(inner, seen)
    yield module
