# Copyright (c) mmdckd contributors. All rights reserved.
"""Check the installation: versions, patches, devices, and what does not work."""

import argparse
from typing import List, Optional

from mmdckd.console.calm_console import open_console, print_line

from .arguments import command_parser

EXAMPLES = """example:
  # exits with 1 if cohorts cannot be trained here
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
    print_line('\n'.join(report.lines).rstrip())
    return 0 if report.healthy else 1
