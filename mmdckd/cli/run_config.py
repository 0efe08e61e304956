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
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdckd.cli.config_keys import check_keys
from mmdckd.cli.errors import check_file, keep_traceback
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

#: The default hooks that MMEngine has by itself.
MMENGINE_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
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


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, by default MMEngine's."""
    # Here, as a command line that is wrong needs no networks.
    from mmdckd.engine.cpu_processes import use_cpu_processes

    default_hooks = dict(cfg.get('default_hooks') or {})
    # MMEngine drops a hook of its own that is None, and takes no other.
    for key, hook in default_hooks.items():
        if hook is None and key not in MMENGINE_HOOKS:
            del cfg.default_hooks[key]
    use_cpu_processes(cfg)
    if 'runner_type' in cfg:
        runner = RUNNERS.build(cfg)
    else:
        runner = Runner.from_cfg(cfg)
    add_checks(runner, default_hooks)
    return runner


def add_checks(runner: Runner, default_hooks: dict) -> None:
    """Add what refuses a run that would silently be another, to a config that
    does not name it; ``default_hooks.check_run=None`` leaves it out.

    Args:
        runner (Runner): The runner.
        default_hooks (dict): Those of the config.
    """
    # Here, as a command line that is wrong needs no networks.
    from mmdckd.engine.hooks import CheckLabelsHook, CheckRunHook

    for key, kind in dict(check_labels=CheckLabelsHook, check_run=CheckRunHook).items():
        if default_hooks.get(key, ()) is not None and not any(
            isinstance(hook, kind) for hook in runner.hooks
        ):
            runner.register_hook(kind())


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
