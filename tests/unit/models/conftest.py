# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from helpers.networks import digits


@pytest.fixture
def batch():
    return digits()
