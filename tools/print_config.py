# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd show``, for those who look for it here."""

from mmdckd.cli.show import main

if __name__ == '__main__':
    main(prog='python tools/print_config.py')
