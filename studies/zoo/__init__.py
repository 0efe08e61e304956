# Copyright (c) mmdckd contributors. All rights reserved.
"""Every family of MMPretrain's model zoo, as student and teacher."""

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # noqa: F401
