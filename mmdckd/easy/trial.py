# Copyright (c) mmdckd contributors. All rights reserved.
"""Networks of others, tried on a few images before anything is trained."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping

import torch
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor, nn

from mmdckd.models.cohorts import StudentCohort
from mmdckd.models.networks import build_network, resolve_network
from mmdckd.names import student_names
from mmdckd.registry import MODELS

from .networks import HOLDER, NamedNetwork


def try_networks(
    networks: Dict[str, NamedNetwork], settings: dict, num_classes: int
) -> None:
    """Load the weights of networks, and run those of others on two images.

    Args:
        networks (Dict[str, NamedNetwork]): The networks by what they were
            given as. MMPretrain's and those that it wraps say how many
            classes they predict: they are built alone, and only if they have
            weights.
        settings (dict): The config of the run.
        num_classes (int): How many classes the data have.

    Raises:
        ValueError: If one cannot be built or run, or returns no logits of
            these classes.
    """
    inputs = two_images(settings)
    with _aside():
        for key, network in networks.items():
            is_held = (network.config.get('backbone') or {}).get('type') == HOLDER
            if is_held:
                _check_logits(_build(network, key), inputs, num_classes, key)
            elif network.has_weights:
                _build(network, key)


def check_differ(student: NamedNetwork, num_students: int) -> None:
    """Check that students which start from given weights can differ.

    Args:
        student (NamedNetwork): The network of every student.
        num_students (int): How many there are.

    Raises:
        ValueError: If any two would start, and stay, equal.
    """
    is_copy = isinstance(student.given, nn.Module)
    if num_students < 2 or not (is_copy or student.has_head):
        return
    with _aside():
        cohort = StudentCohort(dict.fromkeys(student_names(2), student.config))
        cohort.init_weights()
        try:
            cohort.check_distinct()
        except ValueError as error:
            raise ValueError(
                'Invalid `student`: expected a network whose copies can differ, got '
                f'{student.name}: {error} Or give a function that makes a new '
                'network each time it is called.'
            ) from error


def _is_timm(network: NamedNetwork) -> bool:
    return network.config.get('type') == 'TimmClassifier'


def two_images(settings: Mapping[str, Any]) -> Tensor:
    """Two images of a run, as networks get them.

    Args:
        settings (Mapping[str, Any]): The config of the run.

    Returns:
        Tensor: Of shape (2, C, H, W).
    """
    with _aside():
        dataset = DATASETS.build(settings['val_dataloader']['dataset'])
        preprocessor = MODELS.build(
            dict(settings['data_preprocessor'], type='ClsDataPreprocessor')
        )
        batch = default_collate([dataset[0], dataset[len(dataset) - 1]])
        return preprocessor(batch, training=False)['inputs']


@contextmanager
def _aside() -> Iterator[None]:
    """Build parts of MMPretrain, and leave random numbers as they were."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with torch.random.fork_rng(devices=[]):
            yield


def _build(network: NamedNetwork, key: str) -> nn.Module:
    try:
        return build_network(resolve_network(network.config, key)).eval()
    except Exception as error:  # of the user's own function, any
        if network.config.get('pretrained') is True and _is_timm(network):
            raise FileNotFoundError(
                f'Invalid `{key}`: the weights of {network.name} are not where timm '
                f'keeps them, and cannot be downloaded ({error}). Download them '
                f"elsewhere and give the file: 'timm:{network.name},FILE'."
            ) from error
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f'Invalid `{key}`: {error}') from error
        raise ValueError(
            f'Invalid `{key}`: {network.name} cannot be made for the classes of the '
            f'data: {error}'
        ) from error


@torch.no_grad()
def _check_logits(
    network: nn.Module, inputs: Tensor, num_classes: int, key: str
) -> None:
    try:
        logits = network(inputs)
    except Exception as error:  # of the user's own forward, any
        raise ValueError(
            f'Invalid `{key}`: its forward fails on a batch of images of shape '
            f'{tuple(inputs.shape)}: {error}'
        ) from error
    if logits.shape != (len(inputs), num_classes):
        raise ValueError(
            f'Invalid `{key}`: expected logits of the {num_classes} classes of the '
            f'data, of shape {(len(inputs), num_classes)}, got {tuple(logits.shape)}.'
        )
