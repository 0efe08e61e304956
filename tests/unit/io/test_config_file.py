# Copyright (c) mmdckd contributors. All rights reserved.
"""A config that inherits from itself is told; MMEngine would read it forever."""

import sys
from pathlib import Path

import pytest

from mmdckd.cli import export
from mmdckd.cli.run_config import read_config as read_for_a_run
from mmdckd.convert.razor import read_config as read_to_convert
from mmdckd.inference import Predictor
from mmdckd.io import config_file
from mmdckd.io.config_file import read_config
from mmdckd.models.networks import resolve_network
from mmdckd.sweep.spec import load_spec


@pytest.fixture(params=['itself', 'its base'])
def circle(request, tmp_path):
    one, other = tmp_path / 'one.py', tmp_path / 'other.py'
    other.write_text("_base_ = './one.py'\n")
    one.write_text(f'_base_ = ["{"one" if request.param == "itself" else "other"}.py"]')
    return str(one)


def _checkpoint(path):
    file = Path(path).with_suffix('.pth')
    file.touch()
    return str(file)


READERS = {
    'file': read_config,
    'run': read_for_a_run,
    'conversion': read_to_convert,
    'sweep': load_spec,
    'predictor': Predictor,
    'export': lambda path: export.main([_checkpoint(path), '--config', path]),
    'network': lambda path: resolve_network(dict(cfg_path=path), 'teacher'),
}


@pytest.mark.parametrize('reader', READERS)
def test_a_circle_is_told(reader, circle, monkeypatch):
    monkeypatch.setattr(config_file, '_DEEPEST', 400)  # for speed
    before = sys.getrecursionlimit()
    with pytest.raises((ValueError, SystemExit)) as caught:
        READERS[reader](circle)
    assert f'Invalid config {circle!r}: expected `_base_`' in str(caught.value)
    assert sys.getrecursionlimit() == before


def test_a_lazy_circle_is_told(tmp_path):
    path = tmp_path / 'lazy.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n    from .lazy import *\n'
    )
    for reader in ('run', 'conversion'):
        with pytest.raises((ValueError, SystemExit), match='that inherits from itself'):
            READERS[reader](str(path))


def test_a_limit_that_an_import_raises_stays_raised(tmp_path, monkeypatch):
    """As that of mmrazor does, which a config may import."""
    before = sys.getrecursionlimit()
    path = tmp_path / 'raising.py'
    path.write_text(f'import sys\nsys.setrecursionlimit({before + 7})\n')
    read_config(str(path))
    raised = sys.getrecursionlimit()
    sys.setrecursionlimit(before)
    assert raised == before + 7
