# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd report``, for those who look for it here."""

from mmdckd.cli.report import main

if __name__ == '__main__':
    main(prog='python tools/report.py')
