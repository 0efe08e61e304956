# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
import sys
from types import ModuleType
from urllib.error import URLError

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from torchvision import models

from mmdckd.easy.distillation import distill
from mmdckd.easy.networks import TORCHVISION, find_network
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


def held(module, **kwargs):
    backbone = dict(type='mmdckd.ModuleBackbone', module=module, num_classes=5)
    head = dict(type='ClsHead')
    return dict(type='ImageClassifier', backbone=dict(backbone, **kwargs), head=head)


LENET = dict(
    type='ImageClassifier',
    backbone=dict(type='LeNet5', num_classes=5),
    head=dict(type='ClsHead'),
)


@pytest.mark.parametrize(
    'model',
    [
        held('my_networks.make'),
        held(TORCHVISION, name='resnet18'),
        LENET,
        dict(type='HuggingFaceClassifier', num_labels=5),
        dict(type='TimmClassifier', num_classes=5),
    ],
    ids=['python', 'torchvision', 'lenet', 'transformers', 'timm'],
)
def test_an_exported_student_without_a_head_of_mmpretrain(model, tmp_path):
    """As a teacher, it was trained again, as its classes were not found."""
    path = tmp_path / 'student0.py'
    path.write_text(f"model = {model}\nload_from = 'student0.pth'\n")
    network = find_network(str(path), 5)
    assert network.has_weights and network.has_head
    assert network.config == dict(cfg_path=str(path), pretrained='student0.pth')
    if 'backbone' in model:
        expected = r"^Invalid `teacher`: .* the 3 classes .*student0\.py'.* 5 classes"
        with pytest.raises(ValueError, match=expected):
            find_network(str(path), 3, key='teacher')
    else:
        assert find_network(str(path), 3).config['new_head']


def test_a_network_without_weights_is_built_for_the_classes(tmp_path):
    path = tmp_path / 'lenet.py'
    path.write_text(f'model = {LENET}')
    network = find_network(str(path), 3)
    assert not network.has_weights
    logits = build(network).eval()(torch.rand(2, 1, 32, 32), mode='tensor')
    assert logits.shape == (2, 3)


@pytest.mark.parametrize(
    'name, error, message',
    [
        ('resnet18', ValueError, "Did you mean 'resnet18_8xb"),
        ('resnet_18_8xb32_in1k', ValueError, "Did you mean 'resnet18_8xb32_in1k'"),
        ('torchvision:resnet17', ValueError, "Did you mean 'resnet18'"),
        ('ResNet18_8xb32', ValueError, "Did you mean 'resnet18_8xb32_in1k'"),
        ('default_runtime', ValueError, "a config of MMPretrain's zoo"),
        ('', ValueError, "got ''. Otherwise, a network is one of"),
        ('keras:resnet18', ValueError, 'torchvision:NAME'),
        ('tim:resnet18', ValueError, "Did you mean 'timm:resnet18'?"),
        ('resnet18_8xb32_in1k.py', FileNotFoundError, "mean 'resnet18_8xb32_in1k'?"),
        ('python:torch.nn.Linar', ValueError, '^Invalid `student`: expected the imp'),
        ('python:make', ValueError, '^Invalid `student`: expected the import path'),
        ('nowhere.py', FileNotFoundError, "an existing file, got 'nowhere.py'"),
        ('mae_vit-base-p16_8xb512-amp-coslr-300e_in1k', ValueError, 'one head'),
    ],
)
def test_what_there_is_not(name, error, message):
    with pytest.raises(error, match=message):
        find_network(name, 5, key='student')


@pytest.mark.parametrize(
    'given', ['', 'students.py', 'exported', 'exported/student1.pth']
)
def test_a_run_in_place_of_its_exported_student(given, tmp_path):
    (tmp_path / 'students.py').write_text("model = dict(distiller=dict(type='A'))")
    (tmp_path / 'exported').mkdir()
    (tmp_path / 'exported' / 'student1.py').touch()
    with pytest.raises(ValueError, match=r"Did you mean '.*exported/student1\.py'"):
        find_network(str(tmp_path / given), 5)


@pytest.mark.parametrize(
    'name, library', [('timm:resnet18', 'timm'), ('hf:folder', 'transformers')]
)
def test_a_library_that_is_missing(name, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=f'pip install {library}'):
        find_network(name, 5)


@pytest.mark.parametrize(
    'files, found',
    [
        (['pytorch_model.bin'], 'pytorch_model.bin'),
        (
            ['model.safetensors.index.json', 'model-00001-of-00002.safetensors'],
            'model-00001-of-00002.safetensors',
        ),
        (['pytorch_model.bin.index.json'], 'pytorch_model.bin.index.json'),
        (['tf_model.h5'], 'tf_model.h5'),
        (['training_args.bin', 'preprocessor_config.json'], None),
        (['pytorch_model.bin', 'model.safetensors'], None),
    ],
)
def test_weights_of_transformers_in_another_form(files, found, tmp_path, monkeypatch):
    """They were ignored, and the network started from random weights."""
    monkeypatch.setitem(sys.modules, 'transformers', ModuleType('transformers'))
    (tmp_path / 'config.json').write_text('{"id2label": {"0": "a", "1": "b"}}')
    for name in files:
        (tmp_path / name).touch()
    name = f'hf:{tmp_path}'
    if found is None:
        network = find_network(name, 2, key='student')
        assert network.has_weights == ('model.safetensors' in files)
        return
    with pytest.raises(ValueError, match=f'^Invalid `student`: .* got {found} in'):
        find_network(name, 2, key='student')


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and no network."""

    def fail(*args, **kwargs):
        raise URLError('no network')

    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    monkeypatch.setattr(torch.hub, 'download_url_to_file', fail)
    return tmp_path / 'hub' / 'checkpoints'


def test_weights_of_torchvision(offline):
    network = find_network('torchvision:shufflenet_v2_x0_5', 5, pretrained=True)
    listed = models.get_model_weights('shufflenet_v2_x0_5').DEFAULT
    path = offline / osp.basename(listed.url)
    with pytest.raises(FileNotFoundError) as caught:
        build(network)
    assert str(path) in str(caught.value) and listed.url in str(caught.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = models.shufflenet_v2_x0_5()
    torch.save(made.state_dict(), path)
    ours = build(network).backbone.module
    assert torch.equal(ours.conv1[0].weight, made.conv1[0].weight)
    assert ours.fc.out_features == 5


def test_weights_of_the_zoo(offline):
    network = find_network('resnet18_8xb16_cifar10', 10, pretrained=True)
    with pytest.raises(ValueError, match=r'put it at .*hub/checkpoints/resnet18.*pth'):
        build(network)
    offline.mkdir(parents=True, exist_ok=True)
    made = build(find_network('resnet18_8xb16_cifar10', 10))
    spec = resolve_network(network.config, 'architecture')
    torch.save(made.state_dict(), offline / osp.basename(spec.weights))
    assert torch.equal(
        build(network).state_dict()['head.fc.weight'],
        made.state_dict()['head.fc.weight'],
    )


def test_weights_that_are_gone_are_told_once(tmp_path):
    config = tmp_path / 'student0.py'
    head = dict(type='ClsHead')
    model = dict(type='ImageClassifier', backbone=dict(type='LeNet5'), head=head)
    config.write_text(f"model = {model}\nload_from = 'student0.pth'\n")
    pairs = [(np.full((8, 8), i, np.uint8), i % 2) for i in range(8)]
    with pytest.raises(FileNotFoundError, match='^Invalid `teacher`: exp') as caught:
        distill(pairs, 'torchvision:squeezenet1_1', str(config), work_dir=str(tmp_path))
    assert str(caught.value).count('Invalid') == 1


def test_missing_weights_are_told_once(offline, tmp_path):
    pairs = [(np.full((8, 8), i, np.uint8), i % 2) for i in range(8)]
    name, work_dir = 'resnet18_8xb16_cifar10', str(tmp_path / 'run')
    with pytest.raises(ValueError, match=r'^Invalid `student`: .* put it at') as caught:
        distill(pairs, student=name, pretrained=True, work_dir=work_dir)
    assert str(caught.value).count('Invalid') == 1


@pytest.mark.parametrize('classes', [3, 7])
def test_a_folder_of_transformers(classes, tmp_path):
    """It has names of its own in the file, from version 5 on."""
    transformers = pytest.importorskip('transformers')
    folder = str(tmp_path)
    made = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=16,
            patch_size=8,
            num_labels=3,
        )
    )
    made.save_pretrained(folder)
    network = find_network(f'hf:{folder}', classes)
    assert network.has_weights and network.has_head == (classes == 3)
    ours = build(network).model
    assert ours.config.num_labels == classes
    theirs = made.state_dict()
    assert all(
        torch.equal(value, theirs[key])
        for key, value in ours.state_dict().items()
        if classes == 3 or not key.startswith('classifier')
    )
