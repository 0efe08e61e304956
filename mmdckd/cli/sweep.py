# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare methods: run every one with several seeds, and report."""

import argparse
from typing import List, Optional

from mmdckd.console.calm_console import open_console

from .arguments import command_parser
from .errors import one_error_line

EXAMPLES = """examples:
  # teacher, plain training, KD, DML and DCKD on digits, five seeds each; stop
  # it at any time, and start it again to go on
  %(prog)s configs/sweeps/digits.yaml

  # one line of the table again, in another folder
  %(prog)s configs/sweeps/digits.yaml --only kd \\
      --work-dir again

  # the tables and plots again, from results that are there
  %(prog)s configs/sweeps/digits.yaml \\
      --out docs/results/digits --report-only

  # one page of several, with their tables and plots
  %(prog)s configs/sweeps/digits.yaml \\
      configs/sweeps/glyph62_ablation.py \
      --page docs/reference/benchmark.md --out docs/results

The file of a sweep is described in mmdckd/sweep/spec.py, the results
in mmdckd/sweep/results.py."""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd sweep'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument(
        'spec',
        nargs='+',
        help='the file that says what is compared; several for a --page',
    )
    parser.add_argument(
        '--work-dir',
        help='the folder of the runs: configs, logs, checkpoints (default: '
        'work_dirs/sweeps/ and the name of the sweep)',
    )
    parser.add_argument(
        '--out',
        help='the folder of results.jsonl, results.csv, README.md and the '
        'plots; a run that has its line in results.jsonl is not run again '
        '(default: the --work-dir). With --page, the folder that has such a '
        'folder for each sweep (default: results/ beside the page)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='how many runs are under way at a time; they share the cores '
        'and the GPUs (default: one a GPU or, without any, one a core)',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='METHOD',
        help='run these methods only, with the teachers they need; a method '
        'of one pair only is PAIR/METHOD',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with interrupted runs from their last checkpoints; their '
        'training time is not known then. By default they start anew, and '
        'finished runs are kept either way',
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='run nothing: make the report from the results in --out',
    )
    parser.add_argument(
        '--page',
        help='run nothing: make the report of each sweep from its results '
        'and this page of all of them',
    )
    args = parser.parse_args(argv)
    if len(args.spec) > 1 and not args.page:
        parser.error('several sweeps are for a --page only; name one')
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs should be 1 or more, but is {args.jobs}')
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd sweep') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Run the sweep, or write its page."""
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
            'error: these runs have failed:\n'
            + '\n'.join(f'  {run}: {run.log_file}' for run in failed)
        )
