# Copyright (c) mmdckd contributors. All rights reserved.
"""What `make docs` generates has every class, command and model."""

import inspect
import re
import runpy

import pytest
import yaml

from helpers.paths import DOCS, ROOT
from mmdckd import list_losses
from mmdckd.cli.main import COMMANDS
from mmdckd.models import CollectiveDistill, DCKDLoss
from mmdckd.registry import MODELS

GENERATE = runpy.run_path(str(DOCS / 'generate.py'))


@pytest.fixture(scope='module')
def keys():
    return GENERATE['config_keys']()


@pytest.mark.parametrize('part', [CollectiveDistill, DCKDLoss])
def test_every_key_has_its_default_and_meaning(keys, part):
    chapter = keys.partition(f'\n### {part.__name__}\n')[2].partition('\n###')[0]
    rows = re.findall(r'^\| `(\w+)` \| (.+?) \| (.+?) \| (.+) \|$', chapter, re.M)
    parameters = inspect.signature(part).parameters
    assert [row[0] for row in rows] == list(parameters)
    for name, _, default, meaning in rows:
        value = parameters[name].default
        assert default == ('required' if value is inspect._empty else f'`{value!r}`')
        assert meaning


def test_every_key_of_every_class_has_a_type_and_a_meaning(keys):
    assert keys.count('\n| `') > 150
    assert not re.findall(r'^\| `.*\|  \|.*$', keys, re.M)


def test_every_loss_has_a_chapter(keys):
    chapters = re.findall('^### (.*)$', keys, re.M)
    # Other tests register losses of their own.
    ours = {
        name[7:]
        for name in list_losses()
        if name.startswith('mmdckd.')
        and MODELS.get(name).__module__.startswith('mmdckd.')
    }
    assert 'DCKDLoss' in ours and ours <= set(chapters)


def test_every_command_has_a_chapter():
    text = GENERATE['command_line']()
    assert {name for name in COMMANDS if name != 'convert'} <= set(
        re.findall(r'^## mmdckd (\w+)\n\n```text\nusage: mmdckd \1 ', text, re.M)
    )


def test_every_model_that_mim_finds_is_in_the_table():
    text = (DOCS / 'reference' / 'models.md').read_text()
    assert GENERATE['models']() == text, 'run make docs'
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for path in index['Import']:
        for model in yaml.safe_load((ROOT / path).read_text()).get('Models', []):
            row = re.search(rf'^.*\[{model["Name"]}\]\((.*?)\).*$', text, re.M)
            assert (DOCS / 'reference' / row[1]).resolve() == ROOT / model['Config']
            for result in model.get('Results', []):
                for number in result['Metrics'].values():
                    assert f'[{number}](' in row[0]
