# Copyright (c) mmdckd contributors. All rights reserved.
"""Work around faults of the OpenMMLab packages with current versions of torch.

Each function works around one fault, and only if it is present in the installed
packages. Importing mmdckd applies :data:`REMEDIES`, without which the toolbox
cannot be imported, and those of :mod:`mmdckd.io.loading`; importing
``mmdckd.models`` applies :data:`MODEL_REMEDIES`. :data:`APPLIED` lists the
changes and their reasons.
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
"""dict[str, str]: The modules that mmdckd needs, and their names for pip."""

REMEDIES = [
    torchvision_operators,
    mmcv_version,
    quantization_import,
    installed_packages,
]
"""list[Callable]: The remedies that make imports work, in this order."""

MODEL_REMEDIES = [
    inplace_modules,
    synchronized_batchnorm,
    lora_state_dict,
    mmcls_parts,
    contrastive_negatives,
]
"""list[Callable]: The remedies for networks and losses of the toolbox."""


def require_packages() -> None:
    """Check that the packages that mmdckd builds on are installed.

    They are not requirements of the distribution, as mmcv, mmcv-lite and
    onedl-mmcv all provide ``mmcv``, and requiring one would install it over
    another.

    Raises:
        ModuleNotFoundError: If a package is missing.
    """
    missing = [name for name in REQUIRED if find_spec(name) is None]
    if missing:
        packages = ' '.join(REQUIRED[name] for name in missing)
        raise ModuleNotFoundError(
            f'mmdckd needs {", ".join(missing)}, which cannot be imported. '
            f'Install with: pip install {packages}'
        )


def apply() -> None:
    """Make the toolbox importable."""
    for remedy in REMEDIES:
        remedy()


def apply_to_models() -> None:
    """Apply the remedies for networks and losses of the toolbox."""
    for remedy in MODEL_REMEDIES:
        remedy()
