# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd show``, as a script."""

from mmdckd.cli.show import main

if __name__ == '__main__':
    main(prog='python tools/print_config.py')
