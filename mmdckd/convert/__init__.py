# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert configs of MMRazor, and checkpoints of CRD and EfficientNet."""
