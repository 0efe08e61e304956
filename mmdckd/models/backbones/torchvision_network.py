# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

from torch import nn
from torchvision import models

from mmdckd.models.weights import hub_path


def build_network(
    name: str, num_classes: int, weights: Optional[str] = None
) -> nn.Module:
    """Build a classifier of torchvision.

    Args:
        name (str): A name that :func:`torchvision.models.get_model` accepts.
        num_classes (int): The number of classes.
        weights (str, optional): The name of trained weights, such as
            ``'DEFAULT'``. If they have another number of classes, a new last
            linear layer replaces theirs. Defaults to None.

    Returns:
        nn.Module: The network.

    Raises:
        FileNotFoundError: If the weights are not in torchvision's cache and
            cannot be downloaded.
        ValueError: If the last layer with parameters is not linear.
    """
    if weights is None:
        return models.get_model(name, num_classes=num_classes)
    listed = models.get_model_weights(name)[weights]
    try:
        network = models.get_model(name, weights=listed)
    except OSError as error:  # an URLError, for instance
        raise FileNotFoundError(
            f'Invalid weights of {name}: expected a file at '
            f'{hub_path(listed.url)!r} or a download, got neither ({error}). Put '
            f'the file from {listed.url} there.'
        ) from error
    path, last = [
        (path, module)
        for path, module in network.named_modules()
        if not list(module.children()) and list(module.parameters())
    ][-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(
            f'Invalid network {name!r}: expected a linear classifier that can be '
            f'replaced, got a {type(last).__name__}.'
        )
    if last.out_features != num_classes:
        owner, _, own = path.rpartition('.')
        setattr(
            network.get_submodule(owner),
            own,
            nn.Linear(last.in_features, num_classes, bias=last.bias is not None),
        )
    return network
