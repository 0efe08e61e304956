# Copyright (c) mmdckd contributors. All rights reserved.
"""The two kinds of views for which a teacher's logits are cached."""
