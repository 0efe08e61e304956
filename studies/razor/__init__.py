# Copyright (c) mmdckd contributors. All rights reserved.
"""Every distillation config of MMRazor, in a cohort."""

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # noqa: F401
