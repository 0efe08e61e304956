# Copyright (c) mmdckd contributors. All rights reserved.
"""Components of mmdckd are found in three ways, without custom_imports."""

import json
import subprocess
import sys

import mmengine.registry
import mmrazor.registry
import pytest
from mmengine.registry import DefaultScope
from torch import nn

from mmdckd import compat, registry
from mmdckd.registry import MODELS, TwinRegistry

REGISTRIES = {
    name: value
    for name, value in vars(registry).items()
    if isinstance(value, TwinRegistry)
}


@pytest.fixture
def component():
    """A module registered once, by the decorator."""

    @MODELS.register_module()
    class RegisteredOnce(nn.Module):
        pass

    yield RegisteredOnce
    del MODELS.module_dict['RegisteredOnce']
    del mmrazor.registry.MODELS.module_dict['RegisteredOnce']


@pytest.mark.parametrize('scope', ['mmengine', 'mmpretrain', 'mmrazor'])
@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmdckd.RegisteredOnce'),
        dict(type='RegisteredOnce', _scope_='mmrazor'),
        dict(type='RegisteredOnce', _scope_='mmdckd'),
    ],
)
def test_three_ways_under_any_scope(component, cfg, scope):
    DefaultScope.get_instance(f'test-{scope}', scope_name=scope)
    built = mmengine.registry.MODELS.build(dict(cfg))
    assert type(built) is component


@pytest.mark.parametrize('scope', ['mmdckd', 'mmrazor'])
def test_default_scope(component, scope):
    DefaultScope.get_instance(f'test-{scope}', scope_name=scope)
    built = mmengine.registry.MODELS.build(dict(type='RegisteredOnce'))
    assert type(built) is component


@pytest.mark.parametrize(
    'name, package',
    [
        ('KLDivergence', 'mmrazor'),
        ('ImageClassifier', 'mmpretrain'),
        ('CrossEntropyLoss', 'mmpretrain'),
        ('BaseDataPreprocessor', 'mmengine'),
    ],
)
def test_other_packages_under_the_scope_of_mmdckd(name, package):
    assert MODELS.get(name).__module__.split('.')[0] == package


def test_transforms_that_mmpretrain_has_too_are_its_own():
    for name in ('LoadImageFromFile', 'AutoAugment'):
        found = registry.TRANSFORMS.get(name)
        assert found is registry.TRANSFORMS.get(f'mmpretrain.{name}')


def test_unknown_name_is_named():
    with pytest.raises(KeyError, match='NoSuchLoss'):
        MODELS.build(dict(type='NoSuchLoss'))


def test_name_that_mmrazor_has_is_refused():
    with pytest.raises(KeyError, match='KLDivergence is already registered'):

        @MODELS.register_module(name='KLDivergence')
        class Loss(nn.Module):
            pass

    assert 'KLDivergence' not in MODELS.module_dict


@pytest.mark.parametrize('name', REGISTRIES)
def test_registries_stand_between_mmengine_and_mmrazor(name):
    ours = REGISTRIES[name]
    assert ours.scope == 'mmdckd'
    assert ours.parent is getattr(mmengine.registry, name)
    assert ours.name == ours.parent.name
    assert ours.twin is getattr(mmrazor.registry, name, None)
    ours.import_from_location()
    for key, value in ours.module_dict.items():
        if value.__module__.startswith('mmdckd.'):  # and not of another test
            assert value.__module__.startswith(tuple(ours._locations))
            assert ours.twin is None or ours.twin.module_dict[key] is value


def test_every_registry_of_mmrazor_has_its_twin():
    theirs = {
        name
        for name, value in vars(mmrazor.registry).items()
        if isinstance(value, mmengine.registry.Registry)
    }
    assert theirs <= {*REGISTRIES}


def run(code):
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
def test_process_that_has_not_imported_mmdckd():
    # The remedy is for `mmpretrain`, which is imported before mmdckd here.
    assert (
        run(f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location('compat', {compat.__file__!r})
compat = sys.modules['compat'] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compat)
compat.torchvision_operators()
from mmengine.registry import MODELS, DefaultScope
DefaultScope.get_instance('test', scope_name='mmpretrain')
assert 'mmdckd' not in sys.modules
loss = MODELS.build(dict(type='mmdckd.DCKDLoss'))
print(json.dumps(type(loss).__module__.split('.')))
""")[0]
        == 'mmdckd'
    )


@pytest.mark.slow
def test_process_that_has_imported_nothing_else():
    assert (
        run("""
import json
import mmdckd
from mmengine.registry import MODELS
loss = MODELS.build(dict(type='DCKDLoss', _scope_='mmrazor'))
print(json.dumps(type(loss).__module__.split('.')))
""")[0]
        == 'mmdckd'
    )
