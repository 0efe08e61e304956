# Copyright (c) mmdckd contributors. All rights reserved.
"""Tries networks on two images before anything is trained."""

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
    """Load the weights of networks, and run foreign networks on two images.

    Args:
        networks (Dict[str, NamedNetwork]): The networks by argument name. Those
            of MMPretrain or wrapped by it declare their number of classes: they
            are only built, and only if they have weights.
        settings (dict): The config of the run.
        num_classes (int): The number of classes of the data.

    Raises:
        ValueError: If one cannot be built or run, or does not return logits of
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
    """Check that students that start from given weights can differ.

    Args:
        student (NamedNetwork): The network of every student.
        num_students (int): The number of students.

    Raises:
        ValueError: If two students would start, and stay, equal.
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
                f'{student.name}: {error} Or pass a function that returns a new '
                'network each time it is called.'
            ) from error


def two_images(settings: Mapping[str, Any]) -> Tensor:
    """Return two images of a run as the networks receive them.

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
    """Build MMPretrain parts without changing the random state."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        with torch.random.fork_rng(devices=[]):
            yield


def _build(network: NamedNetwork, key: str) -> nn.Module:
    try:
        return build_network(resolve_network(network.config, key)).eval()
    except Exception as error:  # the user's function may raise anything
        is_timm = network.config.get('type') == 'TimmClassifier'
        if network.config.get('pretrained') is True and is_timm:
            raise FileNotFoundError(
                f'Invalid `{key}`: expected the weights of {network.name} where timm '
                f'keeps its downloads, got none, and they cannot be downloaded '
                f'({error}). Download them elsewhere and name the file: '
                f"'timm:{network.name},FILE'."
            ) from error
        if str(error).startswith(f'Invalid `{key}`'):
            raise
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f'Invalid `{key}`: {error}') from error
        raise ValueError(
            f'Invalid `{key}`: expected a network for the classes of the data, got '
            f'{network.name}, which cannot be built: {error}'
        ) from error


@torch.no_grad()
def _check_logits(
    network: nn.Module, inputs: Tensor, num_classes: int, key: str
) -> None:
    try:
        logits = network(inputs)
    except Exception as error:  # the user's forward may raise anything
        raise ValueError(
            f'Invalid `{key}`: expected its forward to take a batch of images of shape '
            f'{tuple(inputs.shape)}, got an error: {error}'
        ) from error
    if logits.shape != (len(inputs), num_classes):
        raise ValueError(
            f'Invalid `{key}`: expected logits of shape {(len(inputs), num_classes)} '
            f'for the {num_classes} classes of the data, got {tuple(logits.shape)}.'
        )
