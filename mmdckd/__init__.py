# Copyright (c) mmdckd contributors. All rights reserved.
"""Deep collective knowledge distillation for MMRazor and MMPretrain.

A cohort of students learns from a teacher and from each other. The
formulation is this project's, after the idea of Deep Collective Knowledge
Distillation (Seo et al., 2023, https://arxiv.org/abs/2304.08878), whose
equations were not available.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import compat, first_use
from .version import __version__

if TYPE_CHECKING:
    from . import registry
    from .easy.collective import Collective
    from .easy.distillation import distill
    from .models.listing import list_collectors, list_losses

__all__ = [
    'Collective',
    '__version__',
    'compat',
    'distill',
    'list_collectors',
    'list_losses',
    'registry',
]
#: Public names that need the toolbox, and the modules that define them.
_LATER = dict(
    Collective='mmdckd.easy.collective',
    distill='mmdckd.easy.distillation',
    list_collectors='mmdckd.models.listing',
    list_losses='mmdckd.models.listing',
)

compat.require_packages()
first_use.watch()


def __getattr__(name: str) -> Any:
    """Import a public name on first access, because it needs the toolbox."""
    if name == 'registry':
        return import_module('.registry', __name__)
    if name in _LATER:
        with warnings.catch_warnings():
            # mmcv warns of operators that classification does not use.
            warnings.filterwarnings('ignore', 'Fail to import', UserWarning)
            return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
