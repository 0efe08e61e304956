# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd train``, as a script."""

from mmdckd.cli.train import main

if __name__ == '__main__':
    main(prog='python tools/train.py')
