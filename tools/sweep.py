# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd sweep``, as a script."""

from mmdckd.cli.sweep import main

if __name__ == '__main__':
    main(prog='python tools/sweep.py')
