# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd predict``, as a script."""

from mmdckd.cli.predict import main

if __name__ == '__main__':
    main(prog='python tools/predict.py')
