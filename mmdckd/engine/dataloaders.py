# Copyright (c) mmdckd contributors. All rights reserved.
"""Completes the dataloaders of a config."""

import torch
from mmengine.config import Config

#: Upper bound that catches typos: torch would start them all.
MOST_WORKERS = 1024


def set_dataloader_defaults(
    cfg: Config, stage: str, pin_memory: bool = True, persistent_workers: bool = True
) -> None:
    """Complete a dataloader as MMPretrain does.

    Args:
        cfg (Config): The config of the run.
        stage (str): 'train', 'val' or 'test'.
        pin_memory (bool): Whether to pin memory where there is a GPU, unless
            the config says otherwise. False says so for it. Defaults to True.
        persistent_workers (bool): The same of keeping the workers from epoch
            to epoch, where there are any. Defaults to True.
    """
    loader = cfg.get(f'{stage}_dataloader')
    if loader is None:
        return
    if not isinstance(loader, dict):
        raise ValueError(f'`{stage}_dataloader` is a dict, but got {loader!r}')
    if not isinstance(loader.get('dataset'), dict):
        raise ValueError(
            f'`{stage}_dataloader.dataset` is a dict, but got {loader.get("dataset")!r}'
        )
    workers = loader.get('num_workers', 0)
    if not isinstance(workers, int) or not 0 <= workers <= MOST_WORKERS:
        raise ValueError(
            f'`{stage}_dataloader.num_workers` is a whole '
            f'number of processes, 0 to {MOST_WORKERS}, but got '
            f'{workers!r}'
        )
    loader.setdefault('collate_fn', dict(type='default_collate'))
    loader.setdefault('pin_memory', torch.cuda.is_available())
    loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
    if not pin_memory:
        loader['pin_memory'] = False
    if not persistent_workers:
        loader['persistent_workers'] = False
