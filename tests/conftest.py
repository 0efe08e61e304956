# Copyright (c) mmdckd contributors. All rights reserved.
"""What every test relies on."""
import os

# Before torch is imported: two workers of pytest share two cores.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

import mmdckd  # noqa: E402,F401

# How long an example takes says nothing on a machine that others use too.
settings.register_profile('mmdckd', deadline=None)
settings.load_profile('mmdckd')


@pytest.fixture(autouse=True)
def default_scope():
    """Take back the default scopes that a test has set."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)
