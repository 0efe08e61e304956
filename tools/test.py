# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd test``, as a script."""

from mmdckd.cli.test import main

if __name__ == '__main__':
    main(prog='python tools/test.py')
