# Copyright (c) mmdckd contributors. All rights reserved.
"""From a command line to the config of a run, for train.py and test.py."""
import argparse
import os
import os.path as osp

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

import mmdckd  # noqa: F401


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as pairs key=value; a key has '
        'dots (model.num_students=2), a list is key="[a,b]" or key=a,b, and '
        'quotation marks keep nested ones together: key="[(a,b),(c,d)]"')
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='do not pin memory in the dataloaders')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher (default: %(default)s)')
    # torch.distributed.launch passes --local-rank from torch 2.0 on, and
    # --local_rank before.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def check_file(what: str, path: str) -> None:
    """Exit with one line if a file that was named does not exist."""
    if not osp.isfile(path):
        raise SystemExit(f'error: there is no {what} {path!r}')


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the arguments that are shared into it."""
    check_file('config', args.config)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)

    cfg.launcher = args.launcher
    # The command line comes before the config, and that before its name.
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or osp.join(
        './work_dirs', name)
    return cfg


def set_dataloader_defaults(cfg: Config,
                            stage: str,
                            pin_memory: bool = True,
                            persistent_workers: bool = True) -> None:
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
    loader.setdefault('collate_fn', dict(type='default_collate'))
    loader.setdefault('pin_memory', torch.cuda.is_available())
    loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
    if not pin_memory:
        loader.pin_memory = False
    if not persistent_workers:
        loader.persistent_workers = False


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, by default MMEngine's."""
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)
