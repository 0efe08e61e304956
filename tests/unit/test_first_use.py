# Copyright (c) mmdckd contributors. All rights reserved.
"""``import mmdckd`` is light; what comes after it finds the toolbox ready."""

import gc
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmdckd
from mmdckd import first_use


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Modules that stand in for the toolbox, and what was executed of them
    and of the remedies, which import the first."""
    executed = []
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, 'executed', executed)
    for name in ('tool_a', 'tool_b'):
        code = f"import sys\nsys.modules['executed'].append('{name}')\n"
        (tmp_path / f'{name}.py').write_text(code)
    monkeypatch.setattr(first_use, 'TOOLBOX', ('tool_a', 'tool_b'))

    def apply():
        executed.append('remedies')
        import_module('tool_a')

    monkeypatch.setattr(first_use.compat, 'apply', apply)
    yield executed
    for name in ('tool_a', 'tool_b'):
        sys.modules.pop(name, None)
    if first_use._first_use in sys.meta_path:
        sys.meta_path.remove(first_use._first_use)


def test_the_first_import_prepares_before_it_goes_on(executed):
    first_use.watch()
    assert not executed
    import_module('tool_b')
    import_module('tool_a')
    assert executed == ['remedies', 'tool_a', 'tool_b']
    assert first_use._first_use not in sys.meta_path


def test_what_preparing_imports_is_executed_once(executed):
    first_use.watch()
    module = import_module('tool_a')
    assert executed == ['remedies', 'tool_a']
    assert module is sys.modules['tool_a']
    loaders = (module.__loader__, module.__spec__.loader)
    assert not any(isinstance(each, first_use._PreparingLoader) for each in loaders)


def test_looking_for_a_module_prepares_nothing(executed):
    first_use.watch()
    assert find_spec('tool_a').origin.endswith('tool_a.py')
    assert find_spec('tool_a').loader.get_filename().endswith('tool_a.py')
    assert not executed


def test_mmdckd_can_be_looked_for_before_the_toolbox_is_imported(executed):
    first_use.watch()
    assert first_use._first_use.find_spec('mmdckd') is None
    assert not executed


def test_it_watches_once_and_for_what_needs_the_toolbox(executed):
    first_use.watch()
    first_use.watch()
    assert sys.meta_path.count(first_use._first_use) == 1
    root = Path(mmdckd.__file__).parent
    watched = [
        bool(first_use._first_use.find_spec(f'mmdckd.{name}', [str(folder)]))
        for folder, name in (
            (root, 'names'),
            (root, 'io'),
            (root, 'errors'),
            (root, 'cli'),
            (root / 'cli', 'cli.train'),
            (root / 'console', 'console.bar'),
        )
    ]
    assert watched == [True, True, False, False, False, False]
    assert not executed


@pytest.mark.parametrize('enabled', [True, False])
def test_garbage_is_collected_as_before(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with first_use.no_collections():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_after_another_import_it_prepares_at_once(executed):
    import_module('tool_b')
    first_use.watch()
    assert executed == ['tool_b', 'remedies', 'tool_a']


def test_a_failure_is_raised_at_each_import(executed, monkeypatch):
    def fail():
        raise RuntimeError('a remedy has failed')

    monkeypatch.setattr(first_use.compat, 'apply', fail)
    first_use.watch()
    for name in ('tool_a', 'tool_b'):
        with pytest.raises(RuntimeError, match='a remedy has failed'):
            import_module(name)
    assert not executed


LIGHT = """
import contextlib, io, pkgutil, sys
import mmdckd
from mmdckd import cli
from mmdckd.cli.convert import COMMANDS as CONVERTERS
from mmdckd.cli.main import COMMANDS, main
commands = [[], *([name] for name in COMMANDS)]
commands += [['convert', name] for name in CONVERTERS]
for command in commands:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*command, '--help'])
    assert printed.getvalue().startswith(' '.join(['usage: mmdckd', *command]))
    heavy = {'numpy', 'torch', 'mmengine', 'mmcv', 'matplotlib', 'rich'}
    assert not heavy & set(sys.modules), command
"""

USE = """
import mmdckd, sys
from mmdckd.io.trust import trust_checkpoints
import torch, mmengine
assert 'mmrazor' in sys.modules and mmdckd.compat.APPLIED
from mmengine.registry import MODELS
assert MODELS.get('mmdckd.DCKDLoss') is mmdckd.registry.MODELS.get('DCKDLoss')
"""


@pytest.mark.parametrize('code', [LIGHT, pytest.param(USE, marks=pytest.mark.slow)])
def test_in_a_process_of_its_own(code):
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


@pytest.mark.slow
def test_other_packages_do_not_warn_in_front_of_the_first_call():
    code = 'import mmdckd; mmdckd.distill, mmdckd.Collective'
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True)
    assert not ran.stderr


def test_the_public_face():
    for name in mmdckd.__all__:
        assert getattr(mmdckd, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmdckd.nothing  # noqa: B018
