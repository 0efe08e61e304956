# Copyright (c) mmdckd contributors. All rights reserved.
"""`make docs` can turn every formula into MathML, which needs no network."""

import re

import pytest

from helpers.paths import DOCS, ROOT

tex2mathml = pytest.importorskip('docutils.utils.math.latex2mathml').tex2mathml
PAGE = re.compile(r'\$\$(.+?)\$\$|(?<![$\w])\$([^$\n]+)\$', re.S)
CODE = re.compile(r'^```.*?^```$|`[^`\n]*`', re.M | re.S)
BLOCK = re.compile(r'^( *)\.\. math::(.*\n(?:\1 +.*\n|\n)*)', re.M)
INLINE = re.compile(r':math:`([^`]*)`')


def formulas():
    for path in DOCS.rglob('*.md'):
        for block, inline in PAGE.findall(CODE.sub('', path.read_text())):
            yield path.name, block or inline
    for path in (ROOT / 'mmdckd').rglob('*.py'):
        text = path.read_text()
        for formula in [each for _, each in BLOCK.findall(text)] + INLINE.findall(text):
            yield path.name, formula


def test_every_formula_becomes_mathml():
    found = list(formulas())
    faults = []
    for name, formula in found:
        try:
            tex2mathml(formula.strip(), as_block=True)
        except Exception as error:
            faults.append(f'{name}: {formula}: {error}')
    assert len(found) > 100 and not faults
