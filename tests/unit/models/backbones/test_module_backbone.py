# Copyright (c) mmdckd contributors. All rights reserved.
import os
import sys

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn import functional as F

from mmdckd.models.backbones import ModuleBackbone
from mmdckd.registry import MODELS


class Net(nn.Module):
    """A network as anybody writes it."""

    def __init__(self, num_classes, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


def make_pairs(num_classes):
    return nn.Conv2d(3, num_classes, 1)


def make_number(num_classes):
    return num_classes


PATH = f'{__name__}.Net'


def classifier(**backbone):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='mmdckd.ModuleBackbone', num_classes=5, **backbone),
                head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')),
            )
        )


def test_a_classifier_is_the_network_itself():
    model = classifier(module=PATH, width=6)
    network = model.backbone.module
    before = network.fc.weight.clone()
    model.init_weights()
    assert torch.equal(network.fc.weight, before)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(model.head(model.extract_feat(images)), network(images))
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(label) for label in (1, 4)]
    loss = model(images, samples, mode='loss')['loss']
    reference = F.cross_entropy(network(images), torch.tensor([1, 4]))
    assert torch.equal(loss, reference)


def test_a_registered_network():
    MODELS.register_module(name='TestNet', module=Net, force=True)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = ModuleBackbone(dict(type='TestNet'), num_classes=3)
    assert isinstance(backbone.module, Net)
    assert backbone(torch.rand(1, 3, 8, 8))[0].shape == (1, 3)


def test_an_object_with_logits():
    class Output(Net):
        def forward(self, x):
            return type('Output', (), dict(logits=super().forward(x)))()

    backbone = ModuleBackbone(PATH, num_classes=3)
    images = torch.rand(1, 3, 8, 8)
    expected = backbone(images)[0]
    backbone.module.__class__ = Output
    assert torch.equal(backbone(images)[0], expected)


@pytest.mark.parametrize(
    'module, message',
    [
        ('nowhere.to_be_found', 'Invalid `backbone.module`'),
        ('torch.nothing', 'Invalid `backbone.module`'),
        ('no_dot', 'Invalid `backbone.module`'),
        (3, 'Invalid `backbone.module`: .* got 3'),
        ('torch.nn', 'is a module'),
    ],
)
def test_what_cannot_be_imported(module, message):
    with pytest.raises(ValueError, match=message):
        ModuleBackbone(module)


def test_what_is_no_network():
    with pytest.raises(TypeError, match='got a int'):
        ModuleBackbone(f'{__name__}.make_number', num_classes=3)
    backbone = ModuleBackbone(f'{__name__}.make_pairs', num_classes=3)
    with pytest.raises(TypeError, match=r'logits .* got a tensor of shape \(1, 3, 8'):
        backbone(torch.rand(1, 3, 8, 8))


def test_a_file_in_the_current_folder_is_found_behind_what_is_installed(
    tmp_path, monkeypatch
):
    here = os.getcwd()
    elsewhere = [path for path in sys.path if path not in ('', here)]
    monkeypatch.setattr(sys, 'path', elsewhere)
    monkeypatch.chdir(tmp_path)
    code = 'from torch import nn\n\n\ndef make(num_classes):\n    return nn.Flatten()\n'
    for name in ('networks_of_this_folder', 'graphlib'):
        (tmp_path / f'{name}.py').write_text(code)
    found = ModuleBackbone('networks_of_this_folder.make', num_classes=5)
    assert isinstance(found.module, nn.Flatten)
    with pytest.raises(ValueError, match="no attribute 'make'"):
        ModuleBackbone('graphlib.make', num_classes=5)


def test_a_module_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'networks_with_a_need.py').write_text('import surely_not_installed')
    with pytest.raises(ValueError, match="No module named 'surely_not_installed'"):
        ModuleBackbone('networks_with_a_need.make', num_classes=5)
    with pytest.raises(ValueError, match="No module named 'neither_here_nor_there'"):
        ModuleBackbone('neither_here_nor_there.make', num_classes=5)
