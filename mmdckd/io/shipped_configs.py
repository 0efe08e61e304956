# Copyright (c) mmdckd contributors. All rights reserved.
"""The configs that come with mmdckd, as ``_base_ = 'mmdckd::...'`` names them."""

import functools
from typing import Tuple

import mmengine.hub  # noqa: F401  it has imported what is replaced
from mmengine.config import utils

from mmdckd.compat.remedy import replace


def register() -> None:
    """Let MMEngine find ``mmdckd::...``.

    It knows packages from a table, which gets one more line, and asks for
    configs in folders below ``configs``; those of mmdckd lie there themselves,
    too. All other paths are MMEngine's own matter.
    """
    utils.MODULE2PACKAGE['mmdckd'] = 'mmdckd'
    find = utils._get_package_and_cfg_path

    @functools.wraps(find)
    def _get_package_and_cfg_path(cfg_path: str) -> Tuple[str, str]:
        package, _, path = cfg_path.partition('::')
        return (package, path) if package == 'mmdckd' else find(cfg_path)

    replace(find, _get_package_and_cfg_path)
