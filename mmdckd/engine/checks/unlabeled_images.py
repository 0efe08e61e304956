# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any

from mmengine.dist import get_world_size
from torch import nn
from torch.utils.data import DataLoader

from mmdckd.datasets import MixedBatchSampler, Unlabeled, WithUnlabeled
from mmdckd.models.algorithms import CollectiveDistill

from ..inner_datasets import inner_datasets


def has_unlabeled(dataset: Any) -> bool:
    """Return whether a dataset, or one inside it, has images without labels.

    Args:
        dataset (Any): A dataset.
    """
    return isinstance(dataset, Unlabeled) or any(
        map(has_unlabeled, inner_datasets(dataset))
    )


def check_unlabeled_images(model: nn.Module, dataloader: DataLoader) -> None:
    """Check that a model can be trained on the unlabeled images of a data
    loader, if it has any.

    Args:
        model (nn.Module): The model, about to be trained.
        dataloader (DataLoader): The data loader of the training.

    Raises:
        ValueError: If a collective loss uses labels, or batches are mixed such
            that some images are never seen, or one process has labels and
            another has none.
    """
    dataset, sampler = dataloader.dataset, dataloader.batch_sampler
    if not has_unlabeled(dataset):
        return
    if not isinstance(model, CollectiveDistill):
        raise ValueError(
            'Invalid `train_dataloader.dataset`: expected only labeled images, '
            f'because a {type(model).__name__} learns from nothing else, got some '
            'without labels.'
        )
    for name, loss in model.distiller.collective_losses.items():
        if loss.label_users:
            raise ValueError(
                f'Invalid `distiller.collective_losses.{name}`: expected a loss '
                'that uses no labels, because images of `train_dataloader.dataset` '
                f'have none, got {" and ".join(loss.label_users)}, which uses them.'
            )
    mixed = isinstance(getattr(sampler, 'batch_sampler', sampler), MixedBatchSampler)
    needed = isinstance(dataset, WithUnlabeled) or get_world_size() > 1
    if needed and not mixed:
        where = (
            'mmdckd.WithUnlabeled'
            if isinstance(dataset, WithUnlabeled)
            else 'images without labels in several processes'
        )
        raise ValueError(
            'Invalid `train_dataloader.batch_sampler`: expected '
            f"dict(type='mmdckd.MixedBatchSampler') with {where}, got "
            f'{type(sampler).__name__}.'
        )
