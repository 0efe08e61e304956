# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert crd``, for those who look for it here."""

from mmdckd.cli.convert.crd import main

if __name__ == '__main__':
    main(prog='python tools/convert_crd_checkpoint.py')
