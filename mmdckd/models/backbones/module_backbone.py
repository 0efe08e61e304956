# Copyright (c) mmdckd contributors. All rights reserved.
import importlib
import os
import sys
from types import ModuleType
from typing import Any, Callable, Tuple, Union

import torch
from mmengine.model import BaseModule
from torch import nn

from mmdckd.registry import MODELS


@MODELS.register_module()
class ModuleBackbone(BaseModule):
    """Wraps any network that maps images to logits for an MMPretrain model.

    MMPretrain's ``ClsHead`` has no parameters: it uses the last output of the
    backbone as logits. So ``ImageClassifier`` with this backbone and that head
    is the network itself, with MMPretrain's loss and predictions, and can be a
    teacher or a student like any other.

    The network initializes its own weights when it is created.

    Args:
        module (str | dict): Either the import path of a function or class that
            returns the network, ``'package.module.name'``, or the config of a
            network that is registered in ``MODELS``.
        **kwargs: Arguments of the function or class.

    Raises:
        TypeError: If the result is not an ``nn.Module``.
        ValueError: If ``module`` cannot be imported.

    Examples:
        >>> resnet18 = dict(
        ...     type='ImageClassifier',
        ...     backbone=dict(
        ...         type='mmdckd.ModuleBackbone',
        ...         module='torchvision.models.resnet18',
        ...         num_classes=10),
        ...     head=dict(type='ClsHead'))
    """

    def __init__(self, module: Union[str, dict], **kwargs: Any) -> None:
        super().__init__()
        if isinstance(module, dict):
            network = MODELS.build({'_scope_': 'mmdckd', **module, **kwargs})
        else:
            network = find_function(module, 'backbone.module')(**kwargs)
        if not isinstance(network, nn.Module):
            raise TypeError(
                f'Invalid `backbone.module`: expected {module!r} to make an '
                f'nn.Module, got a {type(network).__name__}.'
            )
        self.module = network

    def init_weights(self) -> None:
        """Keep the weights, which the network initialized when it was created."""

    def forward(self, inputs: torch.Tensor) -> Tuple[torch.Tensor]:
        """Run the network.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).

        Returns:
            Tuple[Tensor]: The logits (B, C).

        Raises:
            TypeError: If the network returns neither logits nor an object with
                ``logits``, as networks of transformers do.
        """
        output = self.module(inputs)
        logits = getattr(output, 'logits', output)
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
            found = (
                f'a tensor of shape {tuple(logits.shape)}'
                if isinstance(logits, torch.Tensor)
                else f'a {type(output).__name__}'
            )
            raise TypeError(
                f'Invalid network {type(self.module).__name__}: expected its forward '
                f'to return logits of shape (B, C), got {found}.'
            )
        return (logits,)


def find_function(path: str, key: str) -> Callable:
    """Import a function or class, of an installed module or of a file in the
    current folder.

    Args:
        path (str): ``'package.module.name'``.
        key (str): The config key of the path, for the message.

    Returns:
        Callable: The function or class.

    Raises:
        ValueError: If it does not exist or cannot be called.
    """
    try:
        module, _, name = path.rpartition('.')
        found = getattr(_import(module), name)
    except (AttributeError, ImportError, ValueError) as error:
        raise ValueError(
            f'Invalid `{key}`: expected the import path of a function, '
            f"'package.module.name', got {path!r} ({error})."
        ) from error
    if not callable(found):
        raise ValueError(
            f'Invalid `{key}`: expected the import path of a function, got {path!r}, '
            f'which is a {type(found).__name__}.'
        )
    return found


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # `python -m mmdckd` looks in the current folder, the script `mmdckd` does not.
        here = os.getcwd()
        if error.name != module.partition('.')[0] or here in sys.path:
            raise
        sys.path.append(here)  # last, so that it hides no installed module
        return importlib.import_module(module)
