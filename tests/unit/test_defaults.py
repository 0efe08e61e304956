# Copyright (c) mmdckd contributors. All rights reserved.
"""docs/method.md gives the defaults of DCKDLoss, and cites what was measured
for them."""

import inspect
import re

import pytest

from helpers.paths import DOCS
from mmdckd.models import DCKDLoss

ABLATIONS = dict(glyph62_ablation=2, digits_ablation=4)


def table(text):
    """The cells of the first table."""
    rows = re.search(r'(?:^\|.*\|\n)+', text, re.M).group().splitlines()
    return [
        [cell.strip(' `') for cell in row[1:-1].split(' | ')]
        for row in rows
        if not set(row) <= set('|-: ')
    ]


TRIED = table((DOCS / 'method.md').read_text().split('## The defaults')[1])[1:]


def measured(benchmark):
    """Line to its difference to DCKD, on the page of results."""
    page = (DOCS / 'benchmark.md').read_text()
    header, *rows = table(page.split(f'## {benchmark}\n')[1])
    column = header.index('− dckd')
    return {row[0]: row[column] for row in rows}


@pytest.mark.parametrize('benchmark, column', ABLATIONS.items())
def test_every_setting_that_was_tried_is_cited(benchmark, column):
    expected = measured(benchmark)
    for name in ('plain', 'kd', 'dml', 'dckd', '4 students'):
        expected.pop(name, None)
    cited = {row[column]: row[column + 1] for row in TRIED if row[column]}
    assert cited == {
        name: difference
        for name, difference in expected.items()
        if not name.startswith('kd,')
    }


def test_the_defaults_are_those_of_the_loss():
    parameters = inspect.signature(DCKDLoss).parameters
    cited = {row[0]: row[1] for row in TRIED if row[0] in parameters}
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
