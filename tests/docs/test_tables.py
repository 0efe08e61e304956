# Copyright (c) mmdckd contributors. All rights reserved.
"""The tables of README and docs are what `make docs` makes of the results."""

import inspect
import runpy

import pytest

from helpers.paths import DOCS, ROOT
from mmdckd.models import DCKDLoss
from mmdckd.sweep.spec import load_spec

TABLES = runpy.run_path(str(DOCS / 'tables.py'))


@pytest.mark.parametrize('page', TABLES['PAGES'])
def test_tables_are_fresh(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / page).read_text()
    assert '<!-- table: ' in text
    assert TABLES['fill'](text) == text, 'run make docs'


@pytest.mark.parametrize(
    'column, sweep', [(2, 'glyph62_ablation'), (3, 'digits_ablation')]
)
def test_every_setting_that_was_tried_is_cited(column, sweep, monkeypatch):
    monkeypatch.chdir(ROOT)
    (path,) = ROOT.glob(f'configs/sweeps/{sweep}.*')
    tried = {method.name for method in load_spec(str(path)).methods}
    cited = {row[column] for row in TABLES['DEFAULTS']} - {''}
    others = {'plain', 'kd', 'dml', 'dckd', '4 students'}
    assert cited == {name for name in tried - others if not name.startswith('kd,')}


def test_the_defaults_are_those_of_the_loss():
    parameters = inspect.signature(DCKDLoss).parameters
    cited = {row[0]: row[1] for row in TABLES['DEFAULTS'] if row[0] in parameters}
    assert cited.keys() >= {
        'alpha',
        'beta',
        'gamma',
        'tau',
        'collector',
        'correlation',
        'ramp',
    }
    for name, text in cited.items():
        assert text == str(parameters[name].default), name
