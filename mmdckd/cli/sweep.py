# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare methods: run each with several seeds, and report the results."""

import argparse
from typing import List, Optional

from mmdckd.console.calm_console import open_console

from .arguments import command_parser
from .errors import one_error_line

EXAMPLES = """examples:
  # teacher, plain training, KD, DML and DCKD on digits, five seeds each; stop
  # it at any time and run the same command again to continue
  %(prog)s configs/sweeps/digits.yaml

  # repeat one row of the table in another folder
  %(prog)s configs/sweeps/digits.yaml --only kd \\
      --work-dir again

  # write tables and plots again from existing results
  %(prog)s configs/sweeps/digits.yaml \\
      --out docs/results/digits --report-only

  # one page about several sweeps, with their tables and plots
  %(prog)s configs/sweeps/digits.yaml \\
      configs/sweeps/glyph62_ablation.py \\
      --page docs/reference/benchmark.md --out docs/results

mmdckd/sweep/spec.py documents the file of a sweep, mmdckd/sweep/results.py the
results."""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd sweep'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument(
        'spec', nargs='+', help='the file that describes the sweep; several with --page'
    )
    parser.add_argument(
        '--work-dir',
        help='the folder of the runs: configs, logs, checkpoints (default: '
        'work_dirs/sweeps/ plus the name of the sweep)',
    )
    parser.add_argument(
        '--out',
        help='the folder of results.jsonl, results.csv, README.md and the '
        'plots; a run that results.jsonl already lists is not repeated '
        '(default: the --work-dir). With --page, a folder that has one such '
        'folder per sweep (default: results/ beside the page)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='how many runs train at the same time; they share the cores and '
        'the GPUs (default: one per GPU or, without GPUs, one per core). With '
        '`executor` in the file, how many jobs are queued (default: all)',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='METHOD',
        help='run only these methods, and the teachers they need; write '
        'PAIR/METHOD for a method of only one pair',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='continue interrupted runs from their last checkpoints; their '
        'training time is then unknown. Without it they start over; finished '
        'runs are kept in both cases',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='run nothing; write the report from the results in --out',
    )
    parser.add_argument(
        '--page',
        help='run nothing; write the report of each sweep from its results, and '
        'this page about all of them',
    )
    args = parser.parse_args(argv)
    if len(args.spec) > 1 and not args.page:
        parser.error('several sweeps need --page; without it, give one')
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'argument --jobs: expected 1 or more, got {args.jobs}')
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd sweep') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Run the sweep, or only write its page."""
    from mmdckd.sweep.running import run_sweep
    from mmdckd.sweep.writing import write_page

    if args.page:
        write_page(args.page, args.spec, args.out)
        return
    failed = run_sweep(
        args.spec[0],
        work_dir=args.work_dir,
        out=args.out,
        jobs=args.jobs,
        only=args.only,
        resume=args.resume,
        report_only=args.report_only,
    )
    if failed:
        raise SystemExit(
            'error: these runs failed:\n'
            + '\n'.join(f'  {run}: {run.log_file}' for run in failed)
        )
