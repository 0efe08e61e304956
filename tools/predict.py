# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd predict``, for those who look for it here."""

from mmdckd.cli.predict import main

if __name__ == '__main__':
    main(prog='python tools/predict.py')
