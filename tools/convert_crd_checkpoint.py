# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert crd``, as a script."""

from mmdckd.cli.convert.crd import main

if __name__ == '__main__':
    main(prog='python tools/convert_crd_checkpoint.py')
