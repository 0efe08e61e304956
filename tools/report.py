# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd report``, as a script."""

from mmdckd.cli.report import main

if __name__ == '__main__':
    main(prog='python tools/report.py')
