# Copyright (c) mmdckd contributors. All rights reserved.
"""Every family of MMPretrain's model zoo, as student and teacher."""

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # noqa: F401
