# Copyright (c) mmdckd contributors. All rights reserved.
import sys

import pytest
import torch
from mmengine.registry import DefaultScope

from mmdckd.easy.networks import find_network
from mmdckd.models.networks import build_network, resolve_network


def build(network):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return build_network(resolve_network(network.config, 'architecture'))


@pytest.mark.parametrize(
    'name',
    ['resnet18_8xb16_cifar10', 'mobilenet-v2_8xb32_in1k', 'torchvision:squeezenet1_0'],
)
def test_heads_fit_the_data(name):
    network = find_network(name, 5)
    logits = build(network).eval()(torch.rand(2, 3, 64, 64), mode='tensor')
    logits = logits[-1] if isinstance(logits, tuple) else logits
    assert logits.shape[0] == 2
    assert not network.has_weights and not network.has_head


def test_weights_of_other_classes_get_a_new_head():
    network = find_network('resnet18_8xb32_in1k', 5, pretrained=True)
    assert network.config['new_head'] and network.config['pretrained'] is True
    assert network.has_weights and not network.has_head
    same = find_network('resnet18_8xb32_in1k', 1000, pretrained=True)
    assert 'new_head' not in same.config and same.has_head


def test_an_exported_student(tmp_path):
    weights = tmp_path / 'student0.pth'
    weights.touch()
    path = tmp_path / 'student0.py'
    path.write_text(
        "model = dict(type='ImageClassifier', head=dict(num_classes=5))\n"
        f'load_from = {str(weights)!r}\n'
    )
    network = find_network(str(path), 5)
    assert network.has_head and network.config['pretrained'] == str(weights)
    other = find_network(str(path), 3)
    assert other.config['new_head'] and other.config['head']['num_classes'] == 3


@pytest.mark.parametrize(
    'name, error, message',
    [
        ('resnet18', ValueError, "Did you mean 'resnet18_8xb"),
        ('resnet_18_8xb32_in1k', ValueError, "Did you mean 'resnet18_8xb32_in1k'"),
        ('torchvision:resnet17', ValueError, "Did you mean 'resnet18'"),
        ('keras:resnet18', ValueError, 'torchvision:NAME'),
        ('nowhere.py', FileNotFoundError, "no file 'nowhere.py'"),
        ('mae_vit-base-p16_8xb512-amp-coslr-300e_in1k', ValueError, 'one head'),
    ],
)
def test_what_there_is_not(name, error, message):
    with pytest.raises(error, match=message):
        find_network(name, 5, key='student')


@pytest.mark.parametrize(
    'name, library', [('timm:resnet18', 'timm'), ('hf:folder', 'transformers')]
)
def test_a_library_that_is_missing(name, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=f'pip install {library}'):
        find_network(name, 5)
