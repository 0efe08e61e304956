# Copyright (c) mmdckd contributors. All rights reserved.
"""A short run of studies/stress/fuzz_configs.py, and proof that it finds."""

import os.path as osp

import pytest

from helpers.commands import REPO


@pytest.fixture(scope='module')
def fuzz():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(osp.join(REPO, 'studies', 'stress'))
        import fuzz_configs

        yield fuzz_configs


@pytest.fixture(scope='module')
def cfgs(fuzz):
    names = ['dckd_r34_r18_digits.py', 'one/one_r18_digits.py']
    return {name: fuzz.tiny_config(name) for name in names}


@pytest.mark.parametrize('number', range(6))
def test_a_run_or_a_clear_error(fuzz, cfgs, number):
    check(fuzz, fuzz.make_case(cfgs, f'test-{number}'))


@pytest.mark.slow
def test_many_configs(fuzz):
    cfgs = {name: fuzz.tiny_config(name) for name in fuzz.CONFIGS}
    for number in range(15):
        check(fuzz, fuzz.make_case(cfgs, f'slow-{number}'))


def check(fuzz, case):
    outcome, printed = fuzz.run_case(case, 120)
    assert outcome in ('run', 'clear error'), (case.changes, printed[-2000:])


def test_cases_follow_from_their_seed(fuzz, cfgs):
    cases = [fuzz.make_case(cfgs, seed) for seed in ('1', '1', '2')]
    assert cases[0] == cases[1] != cases[2]
    for case in cases:
        assert case.cfg != cfgs[case.name]


@pytest.mark.parametrize(
    'code, expected',
    [
        ('raise RuntimeError', 'traceback'),
        ('raise SystemExit("error: `model`: no key of the change")', 'no key'),
        ('raise SystemExit("error: `val_cfg`: wrong")', 'clear error'),
        ('raise SystemExit("something else")', 'crash'),
        ('import os; os.abort()', 'crash'),
        ('import time; time.sleep(60)', 'hang'),
        ('pass', 'run'),
    ],
)
def test_tells_what_came_out(fuzz, cfgs, monkeypatch, code, expected):
    monkeypatch.setattr(fuzz.train, 'main', lambda argv: exec(code))
    name, cfg = next(iter(cfgs.items()))
    case = fuzz.Case(name, cfg, [], [('val_cfg', 'type')])
    assert fuzz.run_case(case, 2)[0] == expected
