# Copyright (c) mmdckd contributors. All rights reserved.
"""A short run of studies/stress/fuzz_losses.py, and proof that it finds."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from mmdckd.models.losses import dckd_loss, functional
from studies.stress import fuzz_losses

short = settings(
    max_examples=250,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@given(fuzz_losses.cases())
@short
def test_what_comes_out_is_right_honest_or_a_clear_error(case):
    assert fuzz_losses.judge(case) in ('right', 'finite', 'not finite', 'error')


@pytest.mark.slow
@pytest.mark.parametrize(
    'module, name, value',
    [
        (functional, 'LEAST', -float('inf')),
        (dckd_loss, 'divergence', lambda target, log_probs: -log_probs.mean((-1, -2))),
    ],
)
def test_it_finds_what_is_wrong(module, name, value, monkeypatch):
    found = []

    @given(fuzz_losses.cases())
    @short
    def fuzz(case):
        try:
            fuzz_losses.judge(case)
        except AssertionError as error:
            found.append(error)

    monkeypatch.setattr(module, name, value)
    fuzz()
    assert found
