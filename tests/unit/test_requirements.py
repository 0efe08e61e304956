# Copyright (c) mmdckd contributors. All rights reserved.
"""Every package that is imported is declared in pyproject.toml."""

import ast
import sys
from typing import Iterator

import pytest
from packaging.requirements import Requirement

from helpers.paths import ROOT
from mmdckd.cli import examination

tomllib = pytest.importorskip('tomllib', reason='needs Python 3.11')

PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
EXTRAS = PROJECT['optional-dependencies']
#: Modules that have another name than what pip installs.
DISTRIBUTIONS = dict(
    PIL='pillow',
    fontTools='fonttools',
    mmcv='mmcv-lite',
    sklearn='scikit-learn',
    yaml='pyyaml',
)
OURS = {'mmdckd', *(path.stem for path in (ROOT / 'tools').rglob('*.py'))}


def names(lines) -> set:
    return {Requirement(line).name for line in lines}


REQUIRED = names(PROJECT['dependencies'])
ALWAYS_THERE = REQUIRED | names(EXTRAS['openmmlab'])
DECLARED = ALWAYS_THERE.union(
    *(names(lines) for extra, lines in EXTRAS.items() if extra != 'tests')
)


def test_doctor_knows_every_extra():
    installed = {
        extra: {DISTRIBUTIONS.get(module, module) for module in modules}
        for extra, (modules, _) in examination.EXTRAS.items()
    }
    assert installed == {
        extra: names(lines)
        for extra, lines in EXTRAS.items()
        if extra not in ('openmmlab', 'tests')
    }


def imports(node: ast.AST, later: bool = False) -> Iterator[tuple]:
    """Every import: what pip installs, and whether a function makes it."""
    modules = []
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        modules = [node.module]
    for module in modules:
        top = module.partition('.')[0]
        if top not in sys.stdlib_module_names and top not in OURS:
            yield DISTRIBUTIONS.get(top, top), later
    later = later or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    for child in ast.iter_child_nodes(node):
        yield from imports(child, later)


def found(*folders: str) -> set:
    """Each import with its file."""
    return {
        (path.relative_to(ROOT).as_posix(), package, later)
        for folder in folders
        for path in (ROOT / folder).rglob('*.py')
        for package, later in imports(ast.parse(path.read_text()))
    }


def test_every_import_is_declared():
    assert not [each for each in found('mmdckd', 'tools') if each[1] not in DECLARED]


def test_what_an_extra_brings_is_imported_where_it_is_used():
    early = {each for each in found('mmdckd') if not each[2]}
    assert not [each for each in early if each[1] not in ALWAYS_THERE]


def test_every_requirement_is_used():
    # mmrazor imports joblib, and does not require it; scikit-learn has the digits.
    imported = {package for _, package, _ in found('mmdckd', 'tools')}
    assert REQUIRED - imported <= {'joblib', 'scikit-learn'}
    assert "find_spec('sklearn')" in (ROOT / 'mmdckd/datasets/digits.py').read_text()


def test_an_undeclared_import_is_found():
    source = 'import os\nimport mmdckd.io\ndef f():\n    from PIL import Image'
    assert list(imports(ast.parse(source))) == [('pillow', True)]
