# Copyright (c) mmdckd contributors. All rights reserved.
import pytest


@pytest.fixture(autouse=True)
def no_signal_handlers(monkeypatch):
    """Training in the process of the tests leaves its signals alone."""
    monkeypatch.setattr('mmdckd.cli.train.exit_when_told', lambda: None)
