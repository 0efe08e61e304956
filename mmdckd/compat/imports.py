# Copyright (c) mmdckd contributors. All rights reserved.
"""What keeps the toolbox from being imported, or from finding packages."""

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

    A torchvision built for CUDA beside a torch for CPU cannot load them, and
    its import ends with ``operator torchvision::nms does not exist``. Two
    declarations are all that the import needs; calling the operators still
    fails, and classification calls none.

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
    _libraries.append(library)  # what it declares lives as long as it does
    import_module('torchvision')
    return (
        'the compiled operators of torchvision do not load beside torch '
        f'{torch.__version__}'
    )


@remedy
def mmcv_version() -> Optional[str]:
    """mmrazor 1.0.0 asserts that mmcv is not newer than 2.1.0.

    mmcv 2.2.0 and onedl-mmcv 2.3 serve it as well (mmpretrain allows them), so
    2.1.0 is what mmcv says it is for as long as mmrazor is being imported.

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
    return f'mmrazor asserts mmcv <= 2.1.0, and mmcv is {version}'


@remedy
def quantization_import() -> Optional[str]:
    """mmrazor 1.0.0 cannot be imported on torch >= 2.

    It builds the quantization tables of its backends when it is imported, from
    names that torch has removed. A stand-in that holds no table lets the rest
    of mmrazor work; asking it for one raises.

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
    """Raises where the quantization table of a backend is asked for."""

    def __missing__(self, backend: str) -> None:
        raise RuntimeError(
            f"The quantization backend '{backend}' of mmrazor needs torch "
            '1.13: later versions have removed what it is built from.'
        )


@remedy
def installed_packages() -> Optional[str]:
    """mmengine 0.10.7 looks for packages with ``pkg_resources``.

    setuptools 82 has removed it: every ``cfg_path='package::...'`` and
    ``_base_ = 'package::...'`` fails. Where it is there still, it looks for an
    editable installation where its metadata is, not where its files are.

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
    """Say whether a distribution or a module of this name is there."""
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
        PackageNotFoundError: Neither is there.
    """
    spec = find_spec(package)
    if spec is None:
        names = distribution(package).read_text('top_level.txt') or ''
        spec = find_spec(names.split()[0])
    if spec is None or spec.origin is None:
        raise PackageNotFoundError(package)
    return osp.dirname(spec.origin)
