# Copyright (c) mmdckd contributors. All rights reserved.
import copy

from torch import nn

from mmdckd.io.given import take

#: What PyTorch's layers are initialized by.
RESETS = ('reset_parameters', '_reset_parameters')


def build_network(name: str, num_classes: int, reset: bool = False) -> nn.Module:
    """Build a network that exists in this process alone.

    Args:
        name (str): The name that it is given by, see
            :func:`mmdckd.io.given.giving`. A network is copied; anything else
            is called with ``num_classes``.
        num_classes (int): How many classes it predicts.
        reset (bool): Whether a copy is newly initialized, by
            :func:`reset_parameters`. Defaults to False.

    Returns:
        nn.Module: The network.

    Raises:
        ValueError: If nothing is given by that name.
    """
    given = take(name, 'backbone.name')
    if not isinstance(given, nn.Module):
        return given(num_classes=num_classes)
    network = copy.deepcopy(given)
    if reset:
        reset_parameters(network)
    return network


def reset_parameters(network: nn.Module) -> None:
    """Initialize a network anew, as PyTorch initializes its layers.

    Every layer with a ``reset_parameters`` is asked to, as all of PyTorch's
    have. Parameters of other modules, a class token for instance, keep their
    values.

    Args:
        network (nn.Module): The network, changed in place.
    """
    for module in network.modules():
        for name in RESETS:
            if hasattr(module, name):
                getattr(module, name)()
                break
