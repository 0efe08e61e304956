# Copyright (c) mmdckd contributors. All rights reserved.
"""Puts configs, tools and the model index where MIM looks for them."""

import os
import os.path as osp
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

MIM_PATHS = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Adds ``mmdckd/.mim``, by which MIM and MMEngine find configs.

    A wheel holds copies; an editable installation links to the originals.
    """

    def run(self) -> None:
        super().run()
        base = '' if self.editable_mode else self.build_lib
        folder = osp.join(base, 'mmdckd', '.mim')
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for path in MIM_PATHS:
            target = osp.join(folder, path)
            if self.editable_mode:
                os.symlink(osp.relpath(path, folder), target)
            elif osp.isdir(path):
                shutil.copytree(
                    path, target, ignore=shutil.ignore_patterns('__pycache__')
                )
            else:
                shutil.copy(path, target)


setup(cmdclass=dict(build_py=BuildWithMim))
