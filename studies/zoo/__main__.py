# Copyright (c) mmdckd contributors. All rights reserved.
"""Check which networks of MMPretrain's model zoo learn and teach.

The smallest config of every kind of image classifier in every family runs a
training step and a validation step: alone, as both students of a cohort, and as
the teacher of one. Checks that have run are not repeated.
"""

import argparse
import json
import logging
import os.path as osp
from dataclasses import asdict

from mmdckd.cli.errors import one_error_line
from mmdckd.io.files import write_text
from studies.zoo.entries import Entry, choose, families, wrapped_entries
from studies.zoo.report import report
from studies.zoo.run import Limits, Record, run

EXAMPLE = """example:
  # two families; work_dirs/zoo/zoo_coverage.md is the table
  python -m studies.zoo --families resnet mobilenet_v2
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--families',
        nargs='+',
        metavar='NAME',
        help="folders of MMPretrain's configs (default: all, and classifiers "
        'of timm and transformers)',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/zoo',
        help='the folder of the results (default: %(default)s)',
    )
    parser.add_argument(
        '--out',
        help='the table (default: docs/reference/zoo_coverage.md for all families, '
        'else zoo_coverage.md in the work folder)',
    )
    parser.add_argument('--retry', action='store_true', help='repeat failed checks')
    parser.add_argument(
        '--time-limit',
        type=float,
        default=Limits.seconds,
        help='seconds a check may take (default: %(default)g)',
    )
    parser.add_argument(
        '--memory-limit',
        type=float,
        default=Limits.gigabytes,
        help='gigabytes a check may use (default: %(default)g)',
    )
    return parser.parse_args()


def choose_once(work_dir: str, names) -> tuple:
    """Choose the configs, or read which ones were chosen before."""
    path = osp.join(work_dir, f'chosen_{"_".join(names or ["all"])}.json')
    if osp.isfile(path):
        with open(path) as file:
            chosen = json.load(file)
        return [Entry(**entry) for entry in chosen['entries']], chosen['unreadable']
    entries, unreadable = choose(names)
    write_text(
        path,
        json.dumps(dict(entries=list(map(asdict, entries)), unreadable=unreadable)),
    )
    return entries, unreadable


@one_error_line()
def main() -> None:
    args = parse_args()
    unknown = set(args.families or []) - set(families())
    if unknown:
        raise SystemExit(
            f'error: Invalid `--families`: expected some of '
            f'{", ".join(families())}, got {sorted(unknown)}.'
        )
    # Printed by networks that are built to count their parameters.
    logging.disable(logging.INFO)
    record = Record(osp.join(args.work_dir, 'results.jsonl'))
    if args.retry:
        record.forget_failures()
    entries, unreadable = choose_once(args.work_dir, args.families)
    if args.families is None:
        entries += wrapped_entries()
    run(
        sorted(entries, key=lambda entry: entry.parameters or 10**9),
        record,
        Limits(args.time_limit, args.memory_limit),
    )
    out = args.out or (
        osp.join(args.work_dir, 'zoo_coverage.md')
        if args.families
        else 'docs/reference/zoo_coverage.md'
    )
    text, summary = report(entries, unreadable, record)
    write_text(out, text)
    print(f'{summary}\n{out}')


if __name__ == '__main__':
    main()
