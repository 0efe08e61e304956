# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert efficientnet``, as a script."""

from mmdckd.cli.convert.efficientnet import main

if __name__ == '__main__':
    main(prog='python tools/convert_efficientnet_checkpoint.py')
