# Copyright (c) mmdckd contributors. All rights reserved.
"""Tell what is installed, what was patched, and what would not work."""

import argparse
from typing import List, Optional

from mmdckd.console.calm_console import open_console

from .arguments import command_parser

EXAMPLES = """example:
  # versions, patches, devices, and what would not work; 1 where cohorts cannot
  # be trained
  %(prog)s
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd doctor'
) -> argparse.Namespace:
    return command_parser(prog, __doc__, EXAMPLES).parse_args(argv)


def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd doctor') -> int:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        from .examination import examine

        report = examine()
    print('\n'.join(report.lines).rstrip())
    return 0 if report.healthy else 1
