# Copyright (c) mmdckd contributors. All rights reserved.
"""Let configs inherit from mmdckd's configs by ``_base_ = 'mmdckd::...'``."""

import functools
from typing import Tuple

import mmengine.hub  # noqa: F401  it imports the function that is replaced
from mmengine.config import utils

from mmdckd.compat.remedy import replace


def register() -> None:
    """Let MMEngine find ``mmdckd::...``.

    This adds mmdckd to MMEngine's table of packages. MMEngine only looks for
    configs in subfolders of ``configs``, but those of mmdckd are also in
    ``configs`` itself. Other paths are not changed.
    """
    utils.MODULE2PACKAGE['mmdckd'] = 'mmdckd'
    find = utils._get_package_and_cfg_path

    @functools.wraps(find)
    def _get_package_and_cfg_path(cfg_path: str) -> Tuple[str, str]:
        package, _, path = cfg_path.partition('::')
        return (package, path) if package == 'mmdckd' else find(cfg_path)

    replace(find, _get_package_and_cfg_path)
