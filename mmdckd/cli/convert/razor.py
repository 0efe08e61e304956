# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert an MMRazor classification distillation config to one in which several
students learn together."""

import argparse
import os.path as osp
from typing import List, Optional

from mmdckd.console.calm_console import open_console

from ..arguments import command_parser
from ..errors import one_error_line

EXAMPLES = """example:
  %(prog)s kd_r34_r18.py four.py --num-students 4
  mmdckd train four.py
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd convert razor'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument('config', help='an MMRazor config file')
    parser.add_argument('out', help='the config file to write')
    parser.add_argument(
        '--num-students',
        type=int,
        default=4,
        help='how many students learn together (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    if not osp.isfile(args.config):
        parser.error(f'no such file: {args.config!r}')
    if args.num_students < 1:
        parser.error(
            f'argument --num-students: expected 1 or more, got {args.num_students}'
        )
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd convert razor') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Convert the config that the arguments name."""
    from mmdckd.convert.razor import convert_config
    from mmdckd.io.files import write_text

    config, notes = convert_config(args.config, args.num_students)
    write_text(
        args.out,
        f'# Made from {osp.basename(args.config)} by '
        'mmdckd convert razor.\n' + config.pretty_text,
    )
    for note in notes:
        print(f'note: {note}')
