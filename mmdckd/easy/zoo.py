# Copyright (c) mmdckd contributors. All rights reserved.
"""Finds the configs that MMPretrain is installed with."""

import os.path as osp
from functools import cache
from glob import glob
from typing import Dict

import mmpretrain


def zoo_folder() -> str:
    """Return the folder of MMPretrain's configs."""
    folder = osp.join(osp.dirname(mmpretrain.__file__), '.mim', 'configs')
    if not osp.isdir(folder):
        folder = osp.join(osp.dirname(osp.dirname(mmpretrain.__file__)), 'configs')
    return folder


@cache
def zoo_paths() -> Dict[str, str]:
    """Return the paths of MMPretrain's configs in their folder, by name."""
    folder = zoo_folder()
    return {
        osp.splitext(osp.basename(path))[0]: osp.relpath(path, folder)
        for path in sorted(glob(osp.join(folder, '[!_]*', '*.py')))
    }
