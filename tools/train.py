# Copyright (c) mmdckd contributors. All rights reserved.
"""Train a cohort of students, or any model of MMPretrain."""

from preemption import exit_when_told  # isort: skip

if __name__ == '__main__':
    exit_when_told()  # before all that takes time to import

import argparse
import os
import os.path as osp

from config_errors import naming_config_keys
from mmengine.config import Config
from run_config import (
    add_run_arguments,
    build_runner,
    check_file,
    leaving_processes,
    load_config,
    set_dataloader_defaults,
)

from mmdckd.cli.errors import one_error_line
from mmdckd.memory import keep_freed_memory

EXAMPLES = """examples:
  # a teacher, then four students that learn from it and from each other
  python tools/train.py configs/teachers/resnet34_digits.py
  python tools/train.py configs/dckd_r34_r18_digits.py

  # go on where that stopped; train two students, in a folder of their own
  python tools/train.py configs/dckd_r34_r18_digits.py --resume
  python tools/train.py configs/dckd_r34_r18_digits.py \\
      --work-dir work_dirs/two --cfg-options model.num_students=2
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='train config file path')
    parser.add_argument(
        '--work-dir',
        help='the folder of logs and checkpoints (default: that of the '
        'config, or work_dirs/ and the name of the config)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='resume from a checkpoint; without a path, from the latest one '
        'in the work folder, if there is any',
    )
    parser.add_argument(
        '--amp', action='store_true', help='train with automatic mixed precision'
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='let the results differ by rounding for speed: channels last, '
        'the optimizer in one kernel, the fastest algorithms of cuDNN',
    )
    parser.add_argument(
        '--no-validate', action='store_true', help='do not validate during training'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the ratio of the actual batch size '
        'to the one it was made for',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='start the workers of the dataloaders anew every epoch',
    )
    add_run_arguments(parser)
    return parser.parse_args()


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Merge the arguments of training into the config."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if _restarted(cfg.work_dir):
        args.resume = 'auto'
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None
        if args.resume != 'auto':
            check_file('checkpoint', args.resume)
            cfg.load_from = args.resume
    if args.amp:
        if not cfg.get('optim_wrapper'):
            raise SystemExit(
                'error: --amp needs `optim_wrapper` in '
                f'{args.config!r}, and it has none'
            )
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        if cfg.optim_wrapper.get('dtype') == 'bfloat16':
            # Its range is that of float32: there is nothing to scale.
            cfg.optim_wrapper.setdefault('loss_scale', dict(enabled=False))
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.fast:
        make_fast(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise SystemExit(
                'error: --auto-scale-lr needs '
                '`auto_scale_lr=dict(base_batch_size=...)` in '
                f'{args.config!r}, and it has none'
            )
        cfg.auto_scale_lr.enable = True
    for stage in ('train', 'val', 'test'):
        set_dataloader_defaults(
            cfg, stage, not args.no_pin_memory, not args.no_persistent_workers
        )


def make_fast(cfg: Config) -> None:
    """Choose what is faster on most devices and differs by rounding."""
    if cfg.model.type == 'mmdckd.CollectiveDistill':
        cfg.model.channels_last = True
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
    if optimizer.get('type') in ('SGD', 'Adam', 'AdamW'):
        optimizer.fused = True
    cfg.setdefault('env_cfg', {})['cudnn_benchmark'] = True


def _restarted(work_dir: str) -> bool:
    """Whether torch's launcher, after a process died, starts this one anew,
    and there is a checkpoint to go on from."""
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) > 0 and osp.isfile(
        osp.join(work_dir, 'last_checkpoint')
    )


@one_error_line()
def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    merge_args(cfg, args)
    keep_freed_memory()
    with naming_config_keys(cfg, cfg.work_dir), leaving_processes():
        build_runner(cfg).train()


if __name__ == '__main__':
    main()
