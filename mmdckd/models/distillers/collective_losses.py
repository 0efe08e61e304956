# Copyright (c) mmdckd contributors. All rights reserved.
"""Build collective losses and provide their inputs."""

from typing import Dict, List, Optional, Sequence

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import nn

from mmdckd.names import check_loss_name, is_loss
from mmdckd.registry import MODELS

from ..losses.base_collective_loss import BaseCollectiveLoss
from ..networks import classifier_weight
from ..options import under
from ..tasks import Classification
from ..tasks.labels import has_labels, missing_labels


def build_collective_losses(
    cfgs: Optional[Dict[str, dict]], task: Classification
) -> nn.ModuleDict:
    """Build the collective losses of a config.

    Args:
        cfgs (Dict[str, dict], optional): Name to config.
        task (Classification): The task of the cohort.

    Raises:
        ValueError: If a name lacks "loss", or a loss does not support the task.
        TypeError: If the config is not a dict of dicts by name, or builds
            something other than a :class:`.BaseCollectiveLoss`.
    """
    check_named('collective_losses', cfgs)
    losses = nn.ModuleDict()
    for name, cfg in (cfgs or {}).items():
        if not is_loss(name):
            raise ValueError(
                'Invalid `distiller.collective_losses`: expected names that contain '
                f'"loss", which MMEngine trains, got {name!r}. Did you mean '
                f"'loss_{name}'?"
            )
        loss = MODELS.build(cfg)
        if not isinstance(loss, BaseCollectiveLoss):
            raise TypeError(
                f'Invalid `distiller.collective_losses.{name}`: expected a loss for a '
                f'cohort, such as mmdckd.DCKDLoss, got a {type(loss).__name__}. Losses '
                'of MMRazor belong in `distiller.distill_losses`.'
            )
        with under(f'distiller.collective_losses.{name}'):
            loss.use_task(task)
        losses[name] = loss
    return losses


def check_cohort(losses: nn.ModuleDict, num_students: int, num_teachers: int) -> None:
    """Check that every loss has the students and teachers it needs.

    Raises:
        ValueError: If one is missing; the message names the loss's config key.
    """
    for name, loss in losses.items():
        with under(f'distiller.collective_losses.{name}'):
            loss.check_cohort(num_students, num_teachers)


def gather_labels(
    losses: nn.ModuleDict,
    task: Classification,
    samples: Optional[Sequence[BaseDataElement]],
    logits: torch.Tensor,
    check: bool,
) -> Optional[torch.Tensor]:
    """Gather the labels of a batch for the losses that need them.

    Args:
        losses (nn.ModuleDict): Name to loss.
        task (Classification): The task of the cohort.
        samples (List[DataSample], optional): The batch.
        logits (Tensor): The logits (B, C) of a student.
        check (bool): Whether losses check the labels' values, which
            synchronizes the device.

    Returns:
        Tensor, optional: (B,) or (B, C); None if there are no labels.

    Raises:
        ValueError: If a loss needs labels and there are none, or cannot use
            them.
    """
    labels = task.gather_labels(samples, logits.shape[1])
    for name, loss in losses.items():
        if loss.label_users and not has_labels(samples):
            key = f'`distiller.collective_losses.{name}`'
            raise missing_labels(
                f'{" and ".join(loss.label_users)} of {key}',
                samples,
                'choose another that needs no labels',
            )
        if check and labels is not None:
            loss.check_labels(labels.cpu(), logits)
    return labels


def give_prototypes(losses: nn.ModuleDict, teachers: List[BaseModel]) -> None:
    """Pass the weights of the teachers' last layers to the losses that use them.

    Raises:
        ValueError: If a teacher's last layer is not linear, or the teacher is
            trained.
    """
    for name, loss in losses.items():
        if loss.needs_prototypes:
            key = f'distiller.collective_losses.{name}.cost'
            loss.take_prototypes([_prototypes(each, key) for each in teachers])


def _prototypes(teacher: BaseModel, key: str) -> torch.Tensor:
    weight = classifier_weight(teacher)
    if weight is None or weight.requires_grad:
        reason = (
            'whose last layer is not linear'
            if weight is None
            else 'that is itself trained'
        )
        raise ValueError(
            f'Invalid `{key}`: expected the path of an .npy file for a teacher '
            f'{reason}, got None.'
        )
    return weight


def check_values(term: str, values: torch.Tensor, number: int) -> None:
    """Check that a term of a loss has one value for each of N students.

    Raises:
        ValueError: If it does not.
    """
    if values.shape[:1] != (number,):
        raise ValueError(
            f'Invalid `distiller.collective_losses.{term}`: expected one value for '
            f'each of {number} students, got shape {tuple(values.shape)}.'
        )


def check_named(key: str, part: Optional[Dict[str, dict]]) -> None:
    """Check that a part of a distiller's config is a dict of dicts by name.

    Raises:
        TypeError: If it is not.
        ValueError: If the name of a loss is invalid.
    """
    if part is None:
        return
    if not isinstance(part, dict):
        raise TypeError(
            f'Invalid `distiller.{key}`: expected a dict from names to configs, '
            f'got {part!r}.'
        )
    for name, cfg in part.items():
        if key in ('collective_losses', 'distill_losses'):
            check_loss_name(name, f'distiller.{key}')
        # MMRazor accepts a list of connectors and chains them.
        chained = key == 'connectors' and isinstance(cfg, list)
        configs = cfg if chained else [cfg]
        if not all(isinstance(each, dict) for each in configs):
            raise TypeError(
                f'Invalid `distiller.{key}.{name}`: expected a dict, got {cfg!r}.'
            )
