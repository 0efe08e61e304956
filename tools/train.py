# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd train``, for those who look for it here."""

from mmdckd.cli.train import main

if __name__ == '__main__':
    main(prog='python tools/train.py')
