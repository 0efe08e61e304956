# Copyright (c) mmdckd contributors. All rights reserved.
"""Read and write files safely."""
