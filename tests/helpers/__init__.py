# Copyright (c) mmdckd contributors. All rights reserved.
"""What tests share; see the section on tests in CONTRIBUTING."""
