# Copyright (c) mmdckd contributors. All rights reserved.
from collections import Counter

import mmengine.config.utils
import pytest
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.hub import get_config

from mmdckd.engine.repeated_work import spare_repeated_work

NAME = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'


@pytest.fixture
def calls(monkeypatch):
    """How often MMEngine reads each file, and formats a config, when spared."""
    calls = Counter()

    def counted_load(path):
        calls[path] += 1
        return load(path)

    def counted_text(config):
        calls['text'] += 1
        return f'{config.to_dict()}'

    monkeypatch.setattr(mmengine.config.utils, 'load', counted_load)
    monkeypatch.setattr(Config, 'pretty_text', property(counted_text))
    spare_repeated_work()
    return calls


def test_metafiles_are_read_once(calls):
    first, again = (get_config(NAME, pretrained=True) for _ in range(2))
    assert first.model_path == again.model_path
    assert first.model_path.endswith('resnet18_8xb32_in1k_20210831-fbbb1da6.pth')
    assert len(calls) > 50
    assert set(calls.values()) == {1}


def test_a_config_is_formatted_once(calls):
    cfg = Config(dict(a=dict(b=[1, 2])))
    assert cfg.pretty_text == cfg.pretty_text == "{'a': {'b': [1, 2]}}"
    assert calls['text'] == 1


def test_a_changed_config_is_formatted_again(calls):
    cfg = Config(dict(a=1))
    texts = []
    for value in range(12):
        cfg.a = value
        texts.append(cfg.pretty_text)
    assert texts == [f"{{'a': {value}}}" for value in range(12)]
    cfg.a = 0  # which is not kept any more
    assert cfg.pretty_text == texts[0]


def test_it_is_done_once(calls):
    before = Config.pretty_text, mmengine.config.utils.load
    spare_repeated_work()
    assert (Config.pretty_text, mmengine.config.utils.load) == before
