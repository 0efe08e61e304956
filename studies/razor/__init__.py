# Copyright (c) mmdckd contributors. All rights reserved.
"""Every distillation config of MMRazor, in a cohort."""

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # noqa: F401
