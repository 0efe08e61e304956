# Copyright (c) mmdckd contributors. All rights reserved.
"""How statistics look, while a run trains and in its report."""
