# Copyright (c) mmdckd contributors. All rights reserved.
"""``python -m mmdckd``, the same as ``mmdckd``."""

from .cli.main import main

if __name__ == '__main__':
    raise SystemExit(main())
