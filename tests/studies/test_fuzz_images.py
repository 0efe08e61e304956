# Copyright (c) mmdckd contributors. All rights reserved.
"""A short run of studies/stress/fuzz_images.py, and the whole one."""

import pytest

from helpers.paths import STUDIES

STRESS = STUDIES / 'stress'


@pytest.fixture(scope='module')
def fuzz():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(STRESS)
        import fuzz_images

        yield fuzz_images


def test_hostile_images(fuzz, tmp_path):
    result = fuzz.fuzz(60, 1, str(tmp_path))
    assert not result['failures']
    assert result['outcomes']['read'] and result['outcomes']['refused']


@pytest.mark.slow
def test_many_hostile_images(fuzz, tmp_path):
    assert not fuzz.fuzz(2000, 0, str(tmp_path))['failures']


def test_the_fuzzer_finds_what_is_not_refused(fuzz, tmp_path, monkeypatch):

    def fail(*_):
        raise KeyError

    monkeypatch.setattr(fuzz, 'annotate', fail)
    assert fuzz.fuzz(8, 1, str(tmp_path))['outcomes']['traceback']
