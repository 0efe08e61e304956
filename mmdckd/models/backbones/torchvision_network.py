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
        name (str): Its name, as of :func:`torchvision.models.get_model`.
        num_classes (int): How many classes it predicts.
        weights (str, optional): The name of trained weights, such as
            ``'DEFAULT'``. If they are for another number of classes, the last
            linear layer is replaced by a new one. Defaults to None.

    Returns:
        nn.Module: The network.

    Raises:
        FileNotFoundError: If the weights are not where torchvision keeps them,
            and cannot be downloaded.
        ValueError: If the last layer with parameters is not linear.
    """
    if weights is None:
        return models.get_model(name, num_classes=num_classes)
    listed = models.get_model_weights(name)[weights]
    try:
        network = models.get_model(name, weights=listed)
    except OSError as error:  # an URLError, for instance
        raise FileNotFoundError(
            f'the weights of {name} are not at {hub_path(listed.url)!r}, and cannot '
            f'be downloaded ({error}). Put the file from {listed.url} there.'
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
