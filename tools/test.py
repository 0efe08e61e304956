# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd test``, for those who look for it here."""

from mmdckd.cli.test import main

if __name__ == '__main__':
    main(prog='python tools/test.py')
