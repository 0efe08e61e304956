# Copyright (c) mmdckd contributors. All rights reserved.
"""Deep collective knowledge distillation for MMRazor and MMPretrain.

A cohort of students learns from a teacher and from each other. The
formulation is this project's, after the idea of Deep Collective Knowledge
Distillation (Seo et al., 2023, https://arxiv.org/abs/2304.08878), whose
equations were not available.
"""

from . import compat
from .version import __version__

compat.require_packages()
compat.apply()

from . import registry  # noqa: E402
from .listing import list_collectors, list_losses  # noqa: E402

__all__ = ['__version__', 'compat', 'list_collectors', 'list_losses', 'registry']
