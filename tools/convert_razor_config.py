# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert razor``, for those who look for it here."""

from mmdckd.cli.convert.razor import main

if __name__ == '__main__':
    main(prog='python tools/convert_razor_config.py')
