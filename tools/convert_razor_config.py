# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert razor``, as a script."""

from mmdckd.cli.convert.razor import main

if __name__ == '__main__':
    main(prog='python tools/convert_razor_config.py')
