# Copyright (c) mmdckd contributors. All rights reserved.
"""The two kinds of views whose logits a cache has."""
