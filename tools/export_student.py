# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd export``, as a script."""

from mmdckd.cli.export import main

if __name__ == '__main__':
    main(prog='python tools/export_student.py')
