# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the classifier of a network in its state dict."""

from typing import Tuple

from torch import nn


def head_prefixes(network: nn.Module) -> Tuple[str, ...]:
    """Return the prefixes of a classifier's keys in the network's state dict.

    Args:
        network (nn.Module): A classifier of MMPretrain, which may wrap a
            network of timm or transformers.

    Returns:
        Tuple[str]: ``'head.'``, or the library's name of the classifier if the
        network is wrapped. Empty if the network has no classifier.
    """
    if isinstance(getattr(network, 'head', None), nn.Module):
        return ('head.',)
    model = getattr(network, 'model', None)
    if not isinstance(model, nn.Module):
        return ()
    # MMPretrain's wrappers leave "model." out of their state dicts.
    names = classifier_prefixes(model)
    return (*names, *(f'model.{name}' for name in names))


def classifier_prefixes(model: nn.Module) -> Tuple[str, ...]:
    """Return the prefixes of the classifier's keys in a state dict of timm or
    transformers.

    Args:
        model (nn.Module): The library's network.
    """
    names = (getattr(model, 'pretrained_cfg', None) or {}).get('classifier')
    if names is None:
        names = [n for n, _ in model.named_children() if 'classifier' in n]
    elif isinstance(names, str):
        names = [names]
    return tuple(f'{name}.' for name in names)
