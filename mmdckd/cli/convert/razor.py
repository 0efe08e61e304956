# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert a distillation config of MMRazor to one of a cohort."""

import argparse
import os.path as osp
from typing import List, Optional

import mmdckd  # isort: skip  # noqa: F401

from mmdckd.cli.errors import one_error_line
from mmdckd.convert.razor import convert_config

EXAMPLE = """example:
  %(prog)s kd_r34_r18.py four.py --num-students 4
  mmdckd train four.py
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd convert razor'
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description='Convert a classification distillation config of MMRazor '
        'to one in which several students learn together',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', help='a config file of MMRazor')
    parser.add_argument('out', help='the config file to write')
    parser.add_argument(
        '--num-students',
        type=int,
        default=4,
        help='how many students learn together (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    if not osp.isfile(args.config):
        parser.error(f'there is no file {args.config!r}')
    if args.num_students < 1:
        parser.error('--num-students should be 1 or more')
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd convert razor') -> None:
    args = parse_args(argv, prog)
    config, notes = convert_config(args.config, args.num_students)
    with open(args.out, 'w', encoding='utf-8') as file:
        file.write(
            f'# Made from {osp.basename(args.config)} by '
            'tools/convert_razor_config.py.\n' + config.pretty_text
        )
    for note in notes:
        print(f'note: {note}')
