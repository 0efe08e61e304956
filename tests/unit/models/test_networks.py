# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmpretrain.models import ImageClassifier, TimmClassifier
from mmpretrain.models.classifiers.base import BaseClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from helpers.networks import PREPROCESSOR, digits, distil
from mmdckd.models.networks import num_classes_of, resolve_network


@MODELS.register_module()
class WrappedClassifier(TimmClassifier):
    """MMPretrain's wrapper, around a network that needs no timm."""

    def __init__(self, data_preprocessor=None):
        BaseClassifier.__init__(self, data_preprocessor=data_preprocessor)
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 64, 8), nn.ReLU(), nn.Linear(8, 10)
        )
        self.model.num_classes = 10
        self.loss_module = MODELS.build(dict(type='mmpretrain.CrossEntropyLoss'))
        self.with_cp = False
        self._register_state_dict_hook(self._remove_state_dict_prefix)
        self._register_load_state_dict_pre_hook(self._add_state_dict_prefix)


def wrapped():
    return distil(
        2, architecture=dict(type='WrappedClassifier', data_preprocessor=PREPROCESSOR)
    )


def test_wrapped_networks_are_saved_under_the_names_they_load():
    torch.manual_seed(0)
    model, other = wrapped(), wrapped()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    state = model.state_dict()
    prefix = 'architecture.students.student1.'
    assert {key[len(prefix) :] for key in state if key.startswith(prefix)} == {
        '1.weight',
        '1.bias',
        '3.weight',
        '3.bias',
    }
    other.load_state_dict(state)
    for ours, theirs in zip(model.parameters(), other.parameters()):
        assert torch.equal(ours, theirs)
    # Alone, as MMPretrain builds it, a student is loaded as it always was.
    alone = WrappedClassifier()
    alone.load_state_dict(
        {
            key[len(prefix) :]: value
            for key, value in state.items()
            if key.startswith(prefix)
        }
    )
    assert torch.equal(
        alone.model[1].weight, model.cohort.students['student1'].model[1].weight
    )
    assert list(alone.state_dict()) == ['1.weight', '1.bias', '3.weight', '3.bias']


def test_logits_of_a_wrapped_network_are_found():
    model = wrapped()
    data = model.data_preprocessor(digits(4), True)
    losses = model(**data, mode='loss')
    assert 'collective.student1.loss_dckd.collective' in losses
    assert model.cohort.num_classes == 10


def test_classes_of_networks():
    model = nn.Module()
    assert num_classes_of(model) is None
    model.model = nn.Module()
    model.model.config = DataSample()
    assert num_classes_of(model) is None
    model.model.config.num_labels = 7
    assert num_classes_of(model) == 7
    with_head = ImageClassifier(
        backbone=dict(type='LeNet5'),
        head=dict(type='LinearClsHead', num_classes=5, in_channels=84),
    )
    assert num_classes_of(with_head) == 5


def test_a_config_of_mmcls_is_refused_with_that_of_mmpretrain():
    """MMEngine would install mmcls 0.25."""
    path = 'resnet/resnet18_8xb32_in1k.py'
    with pytest.raises(ValueError, match=f"`key.cfg_path`.*'mmpretrain::{path}'"):
        resolve_network(dict(cfg_path=f'mmcls::{path}'), 'key')


def test_a_word_is_no_choice_of_a_head():
    """'False' counted as True."""
    cfg = dict(type='LeNet5', pretrained='lenet.pth', new_head='False')
    with pytest.raises(ValueError, match='`key.new_head`: expected True or False, got'):
        resolve_network(cfg, 'key')


@pytest.mark.parametrize(
    'path', ['dckd_r34_r18_digits.py', 'teachers/resnet34_digits.py']
)
def test_configs_that_are_shipped_are_found(path):
    assert resolve_network(dict(cfg_path=f'mmdckd::{path}'), 'key').key == 'key'


class Listed(WrappedClassifier):
    """With weights that its library lists."""

    def __init__(self, pretrained=False, **kwargs):
        super().__init__(**kwargs)
        if pretrained:
            nn.init.constant_(self.model[3].weight, 3.0)


def test_a_wrapped_network_brings_the_weights_of_its_library(monkeypatch):
    monkeypatch.setitem(MODELS.module_dict, 'TimmClassifier', Listed)
    cfg = dict(type='TimmClassifier', pretrained=True)
    loss = dict(type='mmdckd.DCKDLoss', gamma=0.0)
    model = distil(
        1,
        teacher=cfg,
        finished_peers=[cfg],
        allow_random_teacher=False,
        distiller=dict(
            type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_dckd=loss)
        ),
    )
    for each in (*model.teachers, *model.finished_peers.networks.values()):
        assert (each.model.model[3].weight == 3).all()
    with pytest.raises(ValueError, match='`teacher_ckpt`: expected None, as'):
        distil(1, teacher=cfg, teacher_ckpt='a.pth')
    with pytest.raises(ValueError, match='trained weights, got none'):
        distil(1, teacher=dict(type='TimmClassifier'), allow_random_teacher=False)
