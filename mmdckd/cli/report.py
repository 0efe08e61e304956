# Copyright (c) mmdckd contributors. All rights reserved.
"""Write a report about one or several runs: a single HTML file that works
offline, and its figures as PNG files."""

import argparse
import os.path as osp
from collections import Counter
from typing import List, Optional

from mmdckd.console.calm_console import open_console, print_line

from .arguments import command_parser
from .errors import one_error_line

EXAMPLES = """examples:
  # one run: work_dirs/dckd_r34_r18_digits/report/report.html
  %(prog)s work_dirs/dckd_r34_r18_digits

  # a run and its baselines side by side
  %(prog)s work_dirs/plain_r18_digits \\
      work_dirs/kd_r18_digits work_dirs/dckd_r34_r18_digits \\
      --names plain KD DCKD --out report
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd report'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='the folder of a run, finished or not',
    )
    parser.add_argument(
        '--names',
        nargs='+',
        metavar='NAME',
        help='names of the runs in the report (default: their folder names)',
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='the output folder for report.html and figures/ (default: report/ in '
        'the first WORK_DIR)',
    )
    args = parser.parse_args(argv)
    if args.names is None:
        args.names = [osp.basename(osp.abspath(d)) for d in args.work_dirs]
        if len(set(args.names)) < len(args.names):
            args.names = args.work_dirs
    if len(args.names) != len(args.work_dirs):
        parser.error(
            f'argument --names: expected {len(args.work_dirs)} names, one per run, '
            f'got {len(args.names)}'
        )
    for name, count in Counter(args.names).items():
        if count > 1:
            parser.error(
                f'{count} runs have the name {name!r}; give different ones with --names'
            )
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd report') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Write the report."""
    from mmdckd.io.files import check_writable
    from mmdckd.report.recorded_run import read_run
    from mmdckd.report.report import write_report

    runs = [
        read_run(work_dir, name) for work_dir, name in zip(args.work_dirs, args.names)
    ]
    out = args.out or osp.join(args.work_dirs[0], 'report')
    check_writable(out, '--out')
    report = write_report(runs, out)
    print_line(f'report   {report}\nfigures  {osp.join(out, "figures")}')
