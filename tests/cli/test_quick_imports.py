# Copyright (c) mmdckd contributors. All rights reserved.
"""A command imports what few runs use when it is used."""

import gc
import subprocess
import sys

import pytest

from mmdckd.cli.quick_imports import _late_modules, import_toolbox

#: Parts of MMRazor use what they have imported from SciPy and scikit-learn.
USE = """
import gc, sys
from mmdckd.cli.quick_imports import import_toolbox

import_toolbox()
assert gc.isenabled()
assert not {'scipy.stats', 'sklearn', 'matplotlib'} & set(sys.modules)

from mmrazor.models.distillers import ofd_distiller
from mmrazor.models.task_modules.predictor import metric_predictor
from mmrazor.models.task_modules.predictor.handler import carts_handler

assert ofd_distiller.norm.cdf(0) == 0.5
assert metric_predictor.stats.kendalltau([1, 2, 3], [1, 2, 3])[0] == 1
tree = carts_handler.DecisionTreeRegressor().fit([[0], [1]], [0, 1])
assert tree.predict([[1]]) == [1]

import scipy.stats, sklearn.tree
assert type(scipy.stats.norm).__name__ == 'norm_gen'
assert sklearn.tree.DecisionTreeRegressor is type(tree)
"""


@pytest.mark.slow
def test_mmrazor_finds_what_it_needs():
    done = subprocess.run([sys.executable, '-c', USE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of which a submodule notes that it is loaded."""
    folder = tmp_path / 'tool_c'
    folder.mkdir()
    (folder / '__init__.py').touch()
    (folder / 'inner.py').write_text(
        'print("loaded")\nnumber = 3\ndef double(x): return 2 * x\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield 'tool_c'
    for name in ('tool_c', 'tool_c.inner'):
        sys.modules.pop(name, None)


def test_a_late_module_loads_on_first_use(package, capsys):
    with _late_modules({'tool_c.inner': 'double'}):
        import tool_c.inner as inner
        from tool_c.inner import double
    assert not capsys.readouterr().out
    assert 'tool_c.inner' not in sys.modules
    assert double(2) == 4 and double.__name__ == 'double'
    assert inner.number == 3 and inner.double(1) == 2
    assert capsys.readouterr().out == 'loaded\n'


def test_another_name_of_a_late_module_is_the_real_one(package, capsys):
    with _late_modules({'tool_c.inner': 'double'}):
        from tool_c.inner import number
    assert number == 3 and capsys.readouterr().out == 'loaded\n'
    assert sys.modules['tool_c.inner'].number == 3


def test_what_is_not_installed_stays_missing():
    with _late_modules({'tool_d.inner': 'double'}), pytest.raises(ImportError):
        import tool_d.inner  # noqa: F401


def test_what_is_imported_stays(package):
    import tool_c.inner

    with _late_modules({'tool_c.inner': 'double'}):
        assert sys.modules['tool_c.inner'] is tool_c.inner
    assert sys.modules['tool_c.inner'] is tool_c.inner


@pytest.mark.parametrize('switch', [gc.enable, gc.disable])
def test_collecting_garbage_is_as_it_was(switch):
    switch()
    try:
        enabled = gc.isenabled()
        import_toolbox()
        assert gc.isenabled() == enabled
    finally:
        gc.enable()
