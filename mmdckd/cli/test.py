# Copyright (c) mmdckd contributors. All rights reserved.
"""Test every student of a cohort, their ensemble and the teacher in one pass, or
any MMPretrain model."""

import argparse
import os.path as osp
from typing import TYPE_CHECKING, List, Optional, Tuple

from mmdckd.console.calm_console import open_console

from .arguments import add_run_arguments, command_parser
from .errors import check_file, one_error_line

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmdckd.console.calm_console import CalmConsole

EXAMPLES = """examples:
  # top-1 of all members; "best" is the student that was best in validation
  %(prog)s configs/dckd_r34_r18_digits.py \\
      work_dirs/dckd_r34_r18_digits/epoch_40.pth

  # write the metrics to a file, and draw the first ten images of student 0
  %(prog)s CONFIG CHECKPOINT --out metrics.json \\
      --out-item metrics --show-dir drawn --interval 36
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd test'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument('config', help='the config file of the run')
    parser.add_argument('checkpoint', help='the checkpoint file to test')
    parser.add_argument(
        '--work-dir',
        help='the folder of the log (default: the one in the config, or '
        'work_dirs/ plus the name of the config)',
    )
    parser.add_argument('--out', help='a file to write results to')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        help='what to write to --out: metrics (.json, .yaml or .pkl), or '
        'predictions of a single model (.pkl) (default: pred)',
    )
    parser.add_argument(
        '--amp', action='store_true', help='test with automatic mixed precision'
    )
    parser.add_argument('--show-dir', help='a folder to save drawn predictions to')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window'
    )
    parser.add_argument(
        '--interval',
        type=int,
        default=1,
        help='draw every N-th image (default: %(default)s)',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds to show each image (default: %(default)s)',
    )
    add_run_arguments(parser)
    args = parser.parse_args(argv)
    if args.interval < 1:
        parser.error(f'argument --interval: expected 1 or more, got {args.interval}')
    if args.out_item is not None and args.out is None:
        parser.error('--out-item needs --out, the file to write to')
    endings: Tuple[str, ...] = ('.pkl', '.pickle')
    if args.out_item == 'metrics':
        endings += ('.json', '.yaml', '.yml')
    if args.out is not None and not args.out.endswith(endings):
        parser.error(
            f'argument --out: expected a file that ends with one of {endings}, got '
            f'{args.out!r}'
        )
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd test') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose) as console:
        run(args, console)


def run(args: argparse.Namespace, console: Optional['CalmConsole']) -> None:
    """Test the model that the arguments name."""
    from mmdckd.engine.dataloaders import set_dataloader_defaults
    from mmdckd.engine.runner.phases import last_phase

    from .config_errors import naming_config_keys
    from .run_config import leaving_processes, load_config

    cfg = last_phase(load_config(args))
    merge_args(cfg, args)
    set_dataloader_defaults(cfg, 'test', not args.no_pin_memory)
    with naming_config_keys(cfg, cfg.work_dir), leaving_processes():
        test(cfg, args, console)


def merge_args(cfg: 'Config', args: argparse.Namespace) -> None:
    """Merge the arguments of the test into the config."""
    from mmdckd.io.files import check_writable_file

    check_file('checkpoint', args.checkpoint)
    if args.out is not None:
        check_writable_file(args.out, '--out')
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if writes_predictions(args) and 'CollectiveTestLoop' in str(
        (cfg.get('test_cfg') or {}).get('type')
    ):
        raise SystemExit(
            'error: Invalid `--out`: expected `--out-item metrics` beside it, as the '
            'predictions of a cohort are not written, got none. To write '
            'predictions, export a student and test that.'
        )
    if args.amp:
        if cfg.get('test_cfg') is None:
            raise SystemExit(
                'error: Invalid `test_cfg`: expected a dict with --amp, got none in '
                f'{args.config!r}.'
            )
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir is not None:
        draw_predictions(cfg, args)


def writes_predictions(args: argparse.Namespace) -> bool:
    return args.out is not None and args.out_item != 'metrics'


def draw_predictions(cfg: 'Config', args: argparse.Namespace) -> None:
    """Make the visualization hook draw as ``--show`` and its kin request."""
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if not hook:
        raise SystemExit(
            'error: Invalid `default_hooks.visualization`: expected '
            "dict(type='VisualizationHook') with --show or --show-dir, got none in "
            f'{args.config!r}.'
        )
    hook.update(
        enable=True,
        show=args.show,
        wait_time=args.wait_time,
        out_dir=args.show_dir,
        interval=args.interval,
    )


def test(
    cfg: 'Config', args: argparse.Namespace, console: Optional['CalmConsole']
) -> None:
    """Test the model of the config; write what ``--out`` asks for."""
    import mmengine
    from mmengine.dist import is_main_process
    from mmengine.evaluator import DumpResults

    from mmdckd.engine.runner.building import build_runner
    from mmdckd.io.files import replacing
    from mmdckd.io.plain_values import plain_values

    runner = build_runner(cfg, console)
    if writes_predictions(args):
        runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
    metrics = runner.test()
    if args.out_item == 'metrics' and is_main_process():
        with replacing(args.out) as path:
            kind = osp.splitext(args.out)[1][1:]
            mmengine.dump(plain_values(metrics), path, file_format=kind)
