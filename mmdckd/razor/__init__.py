# Copyright (c) mmdckd contributors. All rights reserved.
"""What MMRazor ships for distillation, inside a cohort."""
