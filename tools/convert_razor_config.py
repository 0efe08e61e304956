# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert a distillation config of MMRazor to one of a cohort."""

import argparse
import os.path as osp

import mmdckd  # isort: skip  # noqa: F401

from mmdckd.cli.errors import one_error_line
from mmdckd.convert.razor import convert_config

EXAMPLE = """example:
  python tools/convert_razor_config.py kd_r34_r18.py four.py --num-students 4
  python tools/train.py four.py
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
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
    args = parser.parse_args()
    if not osp.isfile(args.config):
        parser.error(f'there is no file {args.config!r}')
    if args.num_students < 1:
        parser.error('--num-students should be 1 or more')
    return args


@one_error_line()
def main() -> None:
    args = parse_args()
    config, notes = convert_config(args.config, args.num_students)
    with open(args.out, 'w', encoding='utf-8') as file:
        file.write(
            f'# Made from {osp.basename(args.config)} by '
            'tools/convert_razor_config.py.\n' + config.pretty_text
        )
    for note in notes:
        print(f'note: {note}')


if __name__ == '__main__':
    main()
