# Copyright (c) mmdckd contributors. All rights reserved.
"""What the command line tools share."""
