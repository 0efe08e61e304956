import pytest
from tiny import digits


@pytest.fixture
def batch():
    return digits()
