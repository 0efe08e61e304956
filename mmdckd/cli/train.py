# Copyright (c) mmdckd contributors. All rights reserved.
"""Train a cohort of students, or any MMPretrain model: from a config, or from a
folder of images."""

import argparse
import os
import os.path as osp
from typing import TYPE_CHECKING, List, Optional, Tuple

from mmdckd.console.calm_console import open_console, print_line

from .arguments import add_run_arguments, command_parser
from .data_arguments import add_data_arguments, check_data_arguments, distill_folder
from .device import hide_gpus, use_device
from .errors import check_file, one_error_line
from .preemption import exit_when_told
from .quick_imports import import_toolbox

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

    from mmdckd.console.calm_console import CalmConsole

EXAMPLES = """examples:
  # a teacher, then four students that learn from it and from each other
  %(prog)s configs/teachers/resnet34_digits.py
  %(prog)s configs/dckd_r34_r18_digits.py

  # resume that run; train two students, in their own folder
  %(prog)s configs/dckd_r34_r18_digits.py --resume
  %(prog)s configs/dckd_r34_r18_digits.py \\
      --work-dir work_dirs/two --cfg-options model.num_students=2

  # without a config: a folder with a subfolder of images for each class
  %(prog)s --data photos --teacher resnet34_8xb32_in1k \\
      --student resnet18_8xb32_in1k --work-dir work_dirs/photos
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd train'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument('config', nargs='?', help='the config file to train')
    parser.add_argument(
        '--work-dir',
        help='the folder of logs and checkpoints (default: the one in the config, '
        'or work_dirs/ plus the name of the config)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='resume from a checkpoint; without PATH, from the latest one in the '
        'work folder, if there is any',
    )
    parser.add_argument(
        '--amp',
        action=argparse.BooleanOptionalAction,
        help='train with automatic mixed precision (default: as in the config; '
        'with --data, on a GPU if the images are larger than 64 pixels)',
    )
    parser.add_argument(
        '--device',
        choices=['cpu', 'cuda'],
        help='where to train (default: on a GPU if there is one)',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='train faster, with results that differ by rounding: channels last, '
        'fused optimizer, the fastest cuDNN algorithms',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the ratio of the actual batch size to '
        'the one it was tuned for',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='restart the data loader workers every epoch',
    )
    add_run_arguments(parser)
    add_data_arguments(parser)
    args = parser.parse_args(argv)
    check_data_arguments(parser, args)
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd train') -> None:
    exit_when_told()  # before the slow imports, some of them for the arguments
    hide_gpus(argv)  # before torch is imported
    args = parse_args(argv, prog)
    if args.data:
        print_line(f'Reading the images in {args.data}')  # imports take seconds
    with open_console(args.verbose) as console:
        use_device(args.device)
        if args.data:
            distill_folder(args)
        else:
            train(args, console)


def train(args: argparse.Namespace, console: Optional['CalmConsole']) -> None:
    """Train from a config."""
    import_toolbox()
    from mmdckd.engine.dataloaders import set_all_dataloader_defaults
    from mmdckd.engine.memory import keep_freed_memory
    from mmdckd.engine.repeated_work import spare_repeated_work
    from mmdckd.engine.resuming import resume_from_latest
    from mmdckd.engine.runner.building import build_runner
    from mmdckd.engine.runner.phases import train_phases

    from .config_errors import naming_config_keys
    from .run_config import leaving_processes

    def run(cfg: 'Config') -> 'Runner':
        set_all_dataloader_defaults(cfg, *_loading(args))  # a phase can change them
        if cfg.work_dir == work_dir and args.start_from and not cfg.resume:
            cfg.load_from = args.start_from  # the last phase has saved nothing yet
        runner = build_runner(cfg, console)
        if cfg.work_dir == work_dir:  # the only phase, or the last one
            resume_from_latest(runner, otherwise=args.start_from)
        runner.train()
        return runner

    spare_repeated_work()
    cfg = config_of(args)
    work_dir = cfg.work_dir
    keep_freed_memory()
    with naming_config_keys(cfg, cfg.work_dir), leaving_processes():
        train_phases(cfg, run)


def config_of(args: argparse.Namespace) -> 'Config':
    """Return the config that the arguments select."""
    from mmdckd.engine.dataloaders import set_all_dataloader_defaults
    from mmdckd.engine.runner.phases import phases_of

    from .run_config import load_config

    cfg = load_config(args)
    merge_args(cfg, args)
    for phase in phases_of(cfg):
        set_all_dataloader_defaults(phase.config, *_loading(args))
    return cfg


def _loading(args: argparse.Namespace) -> Tuple[bool, bool]:
    """Return whether to pin memory, and whether to keep workers."""
    return not args.no_pin_memory, not args.no_persistent_workers


def merge_args(cfg: 'Config', args: argparse.Namespace) -> None:
    """Merge the arguments of the training into the config."""
    from mmdckd.engine.speed import make_fast, use_amp

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    resume = 'auto' if _restarted(cfg.work_dir) else args.resume
    # Whose weights the training starts from if there is nothing to resume.
    args.start_from = cfg.get('load_from') if resume == 'auto' else None
    if resume is not None:
        resume_from(cfg, resume)
    if args.amp:
        if not cfg.get('optim_wrapper'):
            raise SystemExit(
                'error: Invalid `optim_wrapper`: expected a dict with --amp, got none '
                f'in {args.config!r}.'
            )
        use_amp(cfg.optim_wrapper)
    if args.fast:
        make_fast(cfg)
    if args.auto_scale_lr:
        scale_lr(cfg, args.config)


def resume_from(cfg: 'Config', checkpoint: str) -> None:
    """Resume from a checkpoint; 'auto' means the latest one."""
    cfg.resume = True
    cfg.load_from = None
    if checkpoint != 'auto':
        check_file('checkpoint', checkpoint)
        cfg.load_from = checkpoint


def scale_lr(cfg: 'Config', path: str) -> None:
    """Scale the learning rate with the batch size."""
    settings = cfg.get('auto_scale_lr')
    if not isinstance(settings, dict) or 'base_batch_size' not in settings:
        raise SystemExit(
            'error: Invalid `auto_scale_lr`: expected dict(base_batch_size=...) with '
            f'--auto-scale-lr, got {settings!r} in {path!r}.'
        )
    cfg.auto_scale_lr.enable = True


def _restarted(work_dir: str) -> bool:
    """Whether torch's launcher restarted this process after one died, and there
    is a checkpoint to resume from."""
    folders = (work_dir, osp.join(work_dir, 'phase0'))
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) > 0 and any(
        osp.isfile(osp.join(folder, 'last_checkpoint')) for folder in folders
    )
