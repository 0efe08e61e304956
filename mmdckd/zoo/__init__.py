# Copyright (c) mmdckd contributors. All rights reserved.
"""Which networks of MMPretrain's model zoo learn and teach in a cohort."""
