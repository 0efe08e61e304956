# Copyright (c) mmdckd contributors. All rights reserved.
"""``python -m mmdckd doctor``."""

import argparse
import logging
import warnings

from mmengine.logging import MMLogger

EXAMPLE = """example:
  # versions, patches, devices, and what would not work; 1 where cohorts cannot
  # be trained
  python -m mmdckd doctor
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog='python -m mmdckd',
        description='Tell what is installed and what would not work.',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('command', choices=['doctor'])
    parser.parse_args()
    # Of a network that is built to be tried.
    warnings.simplefilter('ignore')
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    from .doctor import examine

    report = examine()
    print('\n'.join(report.lines).rstrip())
    return 0 if report.healthy else 1


if __name__ == '__main__':
    raise SystemExit(main())
