# Copyright (c) mmdckd contributors. All rights reserved.
import os

import pytest

from mmdckd import compat
from mmdckd.compat.imports import _get_installed_path, _is_installed


def test_missing_packages_are_named_with_the_command(monkeypatch):
    missing = ('mmcv', 'mmpretrain')
    find = compat.find_spec
    monkeypatch.setattr(
        compat, 'find_spec', lambda name: None if name in missing else find(name)
    )
    with pytest.raises(ModuleNotFoundError) as error:
        compat.require_packages()
    assert 'mmdckd needs mmcv, mmpretrain,' in str(error.value)
    assert 'pip install mmcv-lite==2.1.0 mmpretrain' in str(error.value)
    monkeypatch.undo()
    compat.require_packages()


def test_packages_are_found_without_pkg_resources():
    import mmengine

    assert _is_installed('mmengine')
    assert _is_installed('scikit-learn')  # imported as sklearn
    assert not _is_installed('mmabsent')
    folder = os.path.dirname(mmengine.__file__)
    assert _get_installed_path('mmengine') == folder
    with pytest.raises(ModuleNotFoundError):
        _get_installed_path('mmabsent')


def test_path_of_a_package_called_otherwise_than_its_module():
    import mmcv

    name = next(
        name for name in ('mmcv-lite', 'onedl-mmcv', 'mmcv') if _is_installed(name)
    )
    assert _get_installed_path(name) == os.path.dirname(mmcv.__file__)


def test_quantization_backends_are_refused_clearly():
    if 'quantization_import' not in compat.APPLIED:
        pytest.skip('this torch has what mmrazor quantizes with')
    from mmrazor.structures.quantization import BackendConfigs

    with pytest.raises(RuntimeError, match="'openvino' of mmrazor needs"):
        BackendConfigs['openvino']
