# Copyright (c) mmdckd contributors. All rights reserved.
"""Remedies for faults of the OpenMMLab packages on today's torch."""
import sys
import types

APPLIED = {}
"""dict[str, str]: The remedies that were applied, and why."""


_libraries = []


class _NoQuantization(dict):

    def __missing__(self, key):
        raise RuntimeError('the quantization of mmrazor does not work with '
                           'this version of torch')


def quantization_import() -> str:
    """mmrazor 1.0.0 cannot be imported on torch >= 2 (mmrazor 615)."""
    name = 'mmrazor.structures.quantization.backend_config'
    if name in sys.modules:
        return ''
    try:
        from torch.ao.quantization.fuser_method_mappings import \
            reverse_sequential_wrapper2  # noqa: F401
        return ''
    except ImportError:
        pass
    module = types.ModuleType(name)
    module.BackendConfigs = _NoQuantization()
    module.__all__ = ['BackendConfigs']
    sys.modules[name] = module
    return 'mmrazor builds quantization tables torch no longer has'


def torchvision_operators() -> str:
    """torchvision cannot be imported without its compiled operators."""
    try:
        import torchvision  # noqa: F401
        return ''
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise
    import torch
    library = torch.library.Library('torchvision', 'DEF')
    library.define('nms(Tensor dets, Tensor scores, float iou_threshold) '
                   '-> Tensor')
    library.define('qnms(Tensor dets, Tensor scores, float iou_threshold) '
                   '-> Tensor')
    _libraries.append(library)
    import torchvision  # noqa: F401
    return 'the compiled operators of torchvision do not load'


def config_package() -> str:
    """Let ``_base_ = 'mmdckd::...'`` be resolved."""
    from mmengine.config.utils import MODULE2PACKAGE
    if 'mmdckd' in MODULE2PACKAGE:
        return ''
    MODULE2PACKAGE['mmdckd'] = 'mmdckd'
    return 'mmengine knows the packages of OpenMMLab only'


def apply() -> None:
    """Apply every remedy whose fault is present."""
    for remedy in (torchvision_operators, quantization_import, config_package):
        reason = remedy()
        if reason:
            APPLIED[remedy.__name__] = reason
