# Copyright (c) mmdckd contributors. All rights reserved.
"""Fills in and checks the data loaders of a config."""

from inspect import signature

import torch
from mmengine.config import Config
from torch.utils.data import DataLoader

from mmdckd.errors import did_you_mean, invalid
from mmdckd.values import is_whole

#: Upper bound that catches typos, because torch would start all of them.
MOST_WORKERS = 1024
#: The settings of a data loader that MMEngine reads itself.
_OF_MMENGINE = ('num_batch_per_epoch', 'disable_subprocess_warning')


def set_all_dataloader_defaults(
    cfg: Config, pin_memory: bool = True, persistent_workers: bool = True
) -> None:
    """Fill in the defaults of the data loaders of a training, its validation and its
    test; see :func:`set_dataloader_defaults`.

    Args:
        cfg (Config): The config of the run, without phases.
        pin_memory (bool): Whether to pin memory. Defaults to True.
        persistent_workers (bool): Whether to keep the workers between epochs.
            Defaults to True.
    """
    for stage in ('train', 'val', 'test'):
        set_dataloader_defaults(cfg, stage, pin_memory, persistent_workers)


def set_dataloader_defaults(
    cfg: Config, stage: str, pin_memory: bool = True, persistent_workers: bool = True
) -> None:
    """Fill in the defaults of a data loader as MMPretrain does.

    Args:
        cfg (Config): The config of the run.
        stage (str): 'train', 'val' or 'test'.
        pin_memory (bool): Whether to pin memory if there is a GPU, unless the
            config decides. False overrides the config. Defaults to True.
        persistent_workers (bool): Whether to keep the workers between epochs,
            in the same way. Defaults to True.

    Raises:
        ValueError: If a setting is unknown, or the dataset or the number of
            workers is invalid.
    """
    loader = cfg.get(f'{stage}_dataloader')
    if loader is None:
        return
    if not isinstance(loader, dict):
        raise invalid(f'{stage}_dataloader', 'a dict', loader)
    if not isinstance(loader.get('dataset'), dict):
        raise ValueError(
            f'Invalid `{stage}_dataloader.dataset`: expected a dict, got '
            f'{loader.get("dataset")!r}.'
        )
    _check_names(loader, f'{stage}_dataloader')
    workers = loader.get('num_workers', 0)
    if not is_whole(workers, least=0) or workers > MOST_WORKERS:
        raise ValueError(
            f'Invalid `{stage}_dataloader.num_workers`: expected a whole number '
            f'from 0 to {MOST_WORKERS}, got {workers!r}.'
        )
    loader.setdefault('collate_fn', dict(type='default_collate'))
    loader.setdefault('pin_memory', torch.cuda.is_available())
    loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
    if not pin_memory:
        loader['pin_memory'] = False
    if not persistent_workers:
        loader['persistent_workers'] = False


def _check_names(loader: dict, key: str) -> None:
    """Check that the settings of a data loader have names that something reads."""
    known = (*signature(DataLoader).parameters, *_OF_MMENGINE)
    for name, value in loader.items():
        if name not in known:
            raise invalid(
                f'{key}.{name}',
                'a setting of a data loader',
                value,
                did_you_mean(name, known),
            )
