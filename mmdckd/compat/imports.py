# Copyright (c) mmdckd contributors. All rights reserved.
"""Remedies for faults of imports and of finding packages."""

import os.path as osp
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from types import ModuleType
from typing import Optional

from .remedy import remedy, replace

_MMRAZOR_MAXIMUM_MMCV = '2.1.0'
_libraries: list = []


@remedy
def torchvision_operators() -> Optional[str]:
    """torchvision cannot be imported without its compiled operators.

    A torchvision built for CUDA cannot load them with a torch for CPU, and its
    import fails with ``operator torchvision::nms does not exist``. The import
    only needs two declarations. Calling the operators still fails, but
    classification does not call them.

    See https://github.com/pytorch/vision/issues/9085.
    """
    try:
        import_module('torchvision')
        return None
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise
    import torch

    library = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        library.define(
            f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
        )
    _libraries.append(library)  # the declarations live as long as the library
    import_module('torchvision')
    return (
        'the compiled operators of torchvision cannot be loaded with torch '
        f'{torch.__version__}'
    )


@remedy
def mmcv_version() -> Optional[str]:
    """mmrazor 1.0.0 asserts that mmcv is not newer than 2.1.0.

    It works with mmcv 2.2.0 and onedl-mmcv 2.3, too (mmpretrain allows them),
    so mmcv reports the version 2.1.0 while mmrazor is imported.

    See https://github.com/open-mmlab/mmrazor/issues/659.
    """
    import mmcv
    from mmengine.utils import digit_version

    version = mmcv.__version__
    if 'mmrazor' in sys.modules or digit_version(version) <= digit_version(
        _MMRAZOR_MAXIMUM_MMCV
    ):
        return None
    mmcv.__version__ = _MMRAZOR_MAXIMUM_MMCV
    try:
        import_module('mmrazor')
    finally:
        mmcv.__version__ = version
    return f'mmrazor asserts mmcv <= 2.1.0, but mmcv is {version}'


@remedy
def quantization_import() -> Optional[str]:
    """mmrazor 1.0.0 cannot be imported on torch >= 2.

    At import, it builds the quantization tables of its backends from names that
    torch has removed. An empty replacement lets the rest of mmrazor work;
    looking up a table raises an error.

    See https://github.com/open-mmlab/mmrazor/issues/615, 632 and 652.
    """
    import torch

    name = 'mmrazor.structures.quantization.backend_config'
    mappings = import_module('torch.ao.quantization.fuser_method_mappings')
    if name in sys.modules or hasattr(mappings, 'reverse_sequential_wrapper2'):
        return None
    module = ModuleType(name)
    module.BackendConfigs = _NoBackendConfigs()  # type: ignore[attr-defined]
    module.__all__ = ['BackendConfigs']  # type: ignore[attr-defined]
    sys.modules[name] = module
    return (
        'the quantization of mmrazor needs APIs that torch '
        f'{torch.__version__} has removed'
    )


class _NoBackendConfigs(dict):
    """Raises an error when the quantization table of a backend is looked up."""

    def __missing__(self, backend: str) -> None:
        raise RuntimeError(
            f"The quantization backend '{backend}' of mmrazor needs torch 1.13: "
            'later versions have removed the APIs that it uses.'
        )


@remedy
def installed_packages() -> Optional[str]:
    """mmengine 0.10.7 looks for packages with ``pkg_resources``.

    setuptools 82 has removed it, so every ``cfg_path='package::...'`` and
    ``_base_ = 'package::...'`` fails. With an older setuptools, it looks for an
    editable installation in the folder of its metadata, not of its files.

    See https://github.com/open-mmlab/mmengine/pull/1676.
    """
    import mmengine
    from mmengine.utils import digit_version, package_utils

    if digit_version(mmengine.__version__) >= digit_version('0.10.8'):
        return None
    replace(package_utils.is_installed, _is_installed)
    replace(package_utils.get_installed_path, _get_installed_path)
    return (
        'mmengine looks for packages with pkg_resources, which setuptools '
        '82 has removed'
    )


def _is_installed(package: str) -> bool:
    """Tell whether a distribution or a module of this name is installed."""
    try:
        distribution(package)
        return True
    except PackageNotFoundError:
        return find_spec(package) is not None


def _get_installed_path(package: str) -> str:
    """Find the folder of a package.

    Args:
        package (str): The name of the module or of its distribution.

    Raises:
        PackageNotFoundError: If neither is installed.
    """
    spec = find_spec(package)
    if spec is None:
        names = distribution(package).read_text('top_level.txt') or ''
        spec = find_spec(names.split()[0])
    if spec is None or spec.origin is None:
        raise PackageNotFoundError(package)
    return osp.dirname(spec.origin)
