# Copyright (c) mmdckd contributors. All rights reserved.
"""Tell what is installed, what was patched, and what would not work."""

import argparse
import logging
import warnings
from typing import List, Optional

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
    parse_args(argv, prog)
    from mmengine.logging import MMLogger

    from .examination import examine

    # Of a network that is built to be tried.
    warnings.simplefilter('ignore')
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    report = examine()
    print('\n'.join(report.lines).rstrip())
    return 0 if report.healthy else 1
