# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd sweep``, for those who look for it here."""

from mmdckd.cli.sweep import main

if __name__ == '__main__':
    main(prog='python tools/sweep.py')
