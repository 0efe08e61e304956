# Copyright (c) mmdckd contributors. All rights reserved.
"""Deep collective knowledge distillation for MMRazor and MMPretrain.

A cohort of students learns from a teacher and from each other. The
formulation is this project's, after the idea of Deep Collective Knowledge
Distillation (Seo et al., 2023, https://arxiv.org/abs/2304.08878), whose
equations were not available.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import compat, first_use
from .version import __version__

if TYPE_CHECKING:
    from . import registry
    from .models.listing import list_collectors, list_losses

__all__ = ['__version__', 'compat', 'list_collectors', 'list_losses', 'registry']

compat.require_packages()
first_use.watch()


def __getattr__(name: str) -> Any:
    """What needs the toolbox is imported when it is asked for."""
    if name == 'registry':
        return import_module('.registry', __name__)
    if name in ('list_collectors', 'list_losses'):
        return getattr(import_module('.models.listing', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
