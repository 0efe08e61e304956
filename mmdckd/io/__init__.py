# Copyright (c) mmdckd contributors. All rights reserved.
"""Reading and writing files: where they may lie, and what they may do."""
