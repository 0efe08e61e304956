# Copyright (c) mmdckd contributors. All rights reserved.
"""Where the classifier of a network is in its state dict."""

from typing import Tuple

from torch import nn


def head_prefixes(network: nn.Module) -> Tuple[str, ...]:
    """What the keys of a network's classifier start with in its state dict.

    Args:
        network (nn.Module): A classifier of MMPretrain, which may wrap a
            network of timm or transformers.

    Returns:
        Tuple[str]: ``'head.'``; of a wrapped network, what its library calls
        the classifier. Nothing where the network has none.
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
    """What the keys of the classifier of a network of timm or transformers
    start with.

    Args:
        model (nn.Module): The network of the library.
    """
    names = (getattr(model, 'pretrained_cfg', None) or {}).get('classifier')
    if names is None:
        names = [n for n, _ in model.named_children() if 'classifier' in n]
    elif isinstance(names, str):
        names = [names]
    return tuple(f'{name}.' for name in names)
