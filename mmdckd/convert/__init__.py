# Copyright (c) mmdckd contributors. All rights reserved.
"""From what others have: configs of MMRazor, checkpoints of CRD."""
