# Copyright (c) mmdckd contributors. All rights reserved.
"""Remedies for faults of the OpenMMLab packages on today's torch.

One function a fault. Each tests whether its fault is present in the installed
packages, and changes something only then. Importing mmdckd applies
:data:`REMEDIES`, without which the toolbox is not imported, and those of
:mod:`mmdckd.io.loading`; importing ``mmdckd.models`` applies :data:`MODEL_REMEDIES`.
:data:`APPLIED` tells what was changed and why.
"""

from importlib.util import find_spec

from .imports import (
    installed_packages,
    mmcv_version,
    quantization_import,
    torchvision_operators,
)
from .models import (
    contrastive_negatives,
    inplace_modules,
    lora_state_dict,
    mmcls_parts,
    synchronized_batchnorm,
)
from .remedy import APPLIED

__all__ = [
    'APPLIED',
    'MODEL_REMEDIES',
    'REMEDIES',
    'REQUIRED',
    'apply',
    'apply_to_models',
    'require_packages',
]

REQUIRED = dict(
    torch='torch',
    torchvision='torchvision',
    mmengine='mmengine',
    mmcv='mmcv-lite==2.1.0',
    mmpretrain='mmpretrain',
    mmrazor='mmrazor',
    joblib='joblib',
)
"""dict[str, str]: The modules mmdckd needs, and what pip calls them."""

REMEDIES = [
    torchvision_operators,
    mmcv_version,
    quantization_import,
    installed_packages,
]
"""list[Callable]: What makes imports work, in this order."""

MODEL_REMEDIES = [
    inplace_modules,
    synchronized_batchnorm,
    lora_state_dict,
    mmcls_parts,
    contrastive_negatives,
]
"""list[Callable]: What makes networks and losses of the toolbox work."""


def require_packages() -> None:
    """Check that the packages mmdckd builds on are there.

    They are no requirements of the distribution: mmcv, mmcv-lite and
    onedl-mmcv all provide ``mmcv``, and naming one would install it over
    another.

    Raises:
        ModuleNotFoundError: A package is missing.
    """
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        packages = ' '.join(REQUIRED[name] for name in missing)
        raise ModuleNotFoundError(
            f'mmdckd needs {", ".join(missing)}, which Python does not find. '
            f'Install with: pip install {packages}'
        )


def apply() -> None:
    """Make the toolbox importable."""
    for remedy in REMEDIES:
        remedy()


def apply_to_models() -> None:
    """Mend the networks and losses of the toolbox."""
    for remedy in MODEL_REMEDIES:
        remedy()
