# Copyright (c) mmdckd contributors. All rights reserved.
"""Networks that are given as Python objects instead of names."""

import os.path as osp
from dataclasses import replace
from typing import Any, Callable, Dict, Optional, Union

import torch
from torch import Tensor, nn

from mmdckd.io.files import replacing
from mmdckd.models.backbones.module_backbone import find_function
from mmdckd.models.weights import read_state_dict

from .networks import NamedNetwork, config_of_module

#: The function that builds the network of a config that names a Python object.
GIVEN = 'mmdckd.models.backbones.given_network.build_network'


def given_network(
    network: Union[nn.Module, Callable[..., nn.Module]],
    num_classes: int,
    key: str,
    pretrained: bool,
) -> NamedNetwork:
    """Describe a network that is given as a Python object.

    Args:
        network (nn.Module | Callable): The network, or a function that takes
            ``num_classes`` and returns one.
        num_classes (int): The number of classes of the data.
        key (str): The argument that it was given as; the config uses it as the
            name of the object.
        pretrained (bool): Whether to keep the weights of a module. Otherwise
            its layers are initialized anew.

    Returns:
        NamedNetwork: The network. A function of an importable module is
        described by its import path.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(network, nn.Module):
        config = config_of_module(GIVEN, num_classes, name=key)
        if not pretrained:
            config['backbone']['reset'] = True
        return NamedNetwork(
            config, type(network).__name__, pretrained, pretrained, given=network
        )
    if not callable(network):
        raise TypeError(
            f'Invalid `{key}`: expected the name of a network, an nn.Module or a '
            f'function that returns one, got a {type(network).__name__}.'
        )
    name = getattr(network, '__name__', key)
    path = _import_path(network)
    if path is not None:
        return NamedNetwork(config_of_module(path, num_classes), name)
    config = config_of_module(GIVEN, num_classes, name=key)
    return NamedNetwork(config, name, given=network)


def _import_path(function: Callable) -> Optional[str]:
    """Return the path by which another process can import a function, if any."""
    module = getattr(function, '__module__', None)
    path = f'{module}.{getattr(function, "__qualname__", "")}'
    if module in (None, '__main__'):
        return None
    try:
        found = find_function(path, 'network')
    except ValueError:
        return None
    return path if found is function else None


def keep_weights(network: NamedNetwork, path: str) -> NamedNetwork:
    """Save the weights of a given network to a file, if they are used.

    The config of the run then names the file, as for any other network.

    Args:
        network (NamedNetwork): The network.
        path (str): The file.

    Returns:
        NamedNetwork: The network, with a config that names the file.
    """
    if not isinstance(network.given, nn.Module) or not network.has_weights:
        return network
    with replacing(path) as new:
        torch.save(_weights_of(network.given), new)
    return replace(network, config=dict(network.config, pretrained=path))


def has_other_weights(network: NamedNetwork, path: str) -> bool:
    """Tell whether a given network has other weights than :func:`keep_weights` saved.

    Args:
        network (NamedNetwork): The network.
        path (str): The file; it need not exist.
    """
    if not isinstance(network.given, nn.Module) or not osp.isfile(path):
        return False
    old, new = read_state_dict(path, 'teacher'), _weights_of(network.given)
    return old.keys() != new.keys() or not all(
        torch.equal(value, new[key].cpu())
        for key, value in old.items()
        if isinstance(value, Tensor)
    )


def _weights_of(module: nn.Module) -> Dict[str, Any]:
    return {f'backbone.module.{key}': v for key, v in module.state_dict().items()}


def objects_of(**networks: Optional[NamedNetwork]) -> Dict[str, Any]:
    """Return the Python objects that the configs of networks name."""
    return {
        key: network.given
        for key, network in networks.items()
        if network is not None and network.given is not None
    }
