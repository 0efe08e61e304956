# Copyright (c) mmdckd contributors. All rights reserved.
"""From a command line to the config of a run, for train.py and test.py."""

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
from mmdckd.io.trust import trust_checkpoints

#: What shards a model, or wraps its parts one by one.
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
    """Read the config and merge the arguments that are shared into it."""
    check_file('config', args.config)
    if args.trust_checkpoint:
        trust_checkpoints()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config, args.cfg_options)
    check_wrapper(cfg)

    cfg.launcher = args.launcher
    # The command line comes before the config, and that before its name.
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join('./work_dirs', name)
    check_work_dir(cfg.work_dir)
    return cfg


def check_work_dir(path: str) -> None:
    """Exit with one line if a run could not write to its folder."""
    try:
        os.makedirs(path, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except (OSError, TypeError, ValueError) as error:
        raise SystemExit(
            'error: Invalid `work_dir`: expected a folder that can be written '
            f'to, got {path!r} ({error}). Give another with --work-dir.'
        ) from error


def read_config(path: str, options: Optional[dict] = None) -> Config:
    """Read a config file, and exit with one line where it is none of a run.

    Args:
        path (str): The file.
        options (dict, optional): Settings over it. Defaults to None.

    Returns:
        Config: The config.
    """
    try:
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(options or {})
    except Exception as error:
        raise SystemExit(
            f'error: the config {path!r} cannot be read: '
            f'{type(error).__name__}: {error}\n'
            f'{keep_traceback()}'
        ) from error
    check_keys(cfg)
    phases = phases_of(cfg)
    check_phases(cfg)
    for phase in phases:
        check_keys(phase.config)
    return cfg


def check_wrapper(cfg: Config) -> None:
    """Exit where a cohort is to be trained in a way that it cannot be."""
    for key in ('strategy', 'model_wrapper_cfg'):
        part = cfg.get(key) or {}
        name = str(part.get('type') if isinstance(part, dict) else part)
        if name.split('.')[-1] in UNSUPPORTED:
            raise SystemExit(
                f'error: `{key}.type`={name!r}: a cohort is not sharded. '
                'Every process holds all students (MMDistributedDataParallel, '
                f'which is the default): leave `{key}` out.'
            )


@contextmanager
def leaving_processes() -> Iterator[None]:
    """Part from the other processes, if there are any, where all end.

    That is when a run is over and when it was told to end. Nothing outside
    may hold the model then: it holds the process group, whose threads would
    abort a process that exits.
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
    # The last reference is ours: it alone ends the threads without keeping
    # from them the lock of the interpreter, which they may need to end.
    group = torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()
    gc.collect()
    del group
