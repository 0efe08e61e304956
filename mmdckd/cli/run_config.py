# Copyright (c) mmdckd contributors. All rights reserved.
"""Makes the config of a run from the command line, for train and test."""

import argparse
import gc
import os
import os.path as osp
import traceback
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Iterator, Optional

import torch
from mmengine.config import Config

from mmdckd.cli.config_keys import check_keys, check_phases
from mmdckd.cli.errors import check_file, keep_traceback
from mmdckd.engine.runner.phases import phases_of
from mmdckd.io import config_file
from mmdckd.io.trust import trust_checkpoints
from mmdckd.io.type_names import type_name

#: Strategies and wrappers that shard a model or wrap its parts one by one.
UNSUPPORTED = (
    'FSDPStrategy',
    'DeepSpeedStrategy',
    'ColossalAIStrategy',
    'MMFullyShardedDataParallel',
    'MMDeepSpeedEngineWrapper',
    'CollosalAIModelWrapper',
    'MMSeparateDistributedDataParallel',
)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the shared arguments into it."""
    check_file('config', args.config)
    if args.trust_checkpoint:
        trust_checkpoints()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    check_wrapper(cfg)

    cfg.launcher = args.launcher
    # The command line overrides the config, and that the name of the file.
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('./work_dirs', name)
    check_work_dir(cfg.work_dir)
    return cfg


def check_work_dir(path: str) -> None:
    """Exit with one line if a run cannot write to its folder."""
    try:
        os.makedirs(path, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(
            'error: Invalid `work_dir`: expected a folder that can be written '
            f'to, got {path!r} ({error}). Choose another with --work-dir.'
        ) from error


def read_config(path: str, options: Optional[dict] = None) -> Config:
    """Read a config file; exit with one line if no run can be made of it.

    Args:
        path (str): The file.
        options (dict, optional): Settings that override it. Defaults to None.

    Returns:
        Config: The config.
    """
    try:
        cfg = config_file.read_config(path)
        cfg.merge_from_dict(options or {})
    except config_file.CircularConfigError as error:
        raise SystemExit(f'error: {error}') from error
    except Exception as error:
        raise SystemExit(
            f'error: Invalid config {path!r}: expected a file that MMEngine can '
            f'read, got {type(error).__name__}: {error}\n'
            f'{keep_traceback()}'
        ) from error
    check_keys(cfg)
    phases = phases_of(cfg)
    check_phases(cfg)
    for phase in phases:
        check_keys(phase.config)
    return cfg


def check_wrapper(cfg: Config) -> None:
    """Exit if a cohort would be sharded."""
    for key in ('strategy', 'model_wrapper_cfg'):
        part = cfg.get(key) or {}
        kind = part.get('type') if isinstance(part, dict) else part
        if type_name(kind) in UNSUPPORTED:
            raise SystemExit(
                f'error: Invalid `{key}.type`: expected MMDistributedDataParallel, '
                'the default, because every process holds all students of a cohort, '
                f'got {kind!r}. Remove `{key}`.'
            )


@contextmanager
def leaving_processes() -> Iterator[None]:
    """Leave the process group, if there is one, when all processes end.

    They do when a run is over or was told to stop. Nothing else may hold the
    model then: it holds the process group, whose threads would abort a process
    that exits.
    """
    try:
        yield
    except SystemExit as ended:
        traceback.clear_frames(ended.__traceback__)
        _leave_processes()
        raise
    _leave_processes()


def _leave_processes() -> None:
    if not torch.distributed.is_initialized():
        return
    # Dropping the last reference ends the threads without holding the GIL, which
    # they may need to end.
    group = torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()
    gc.collect()
    del group
