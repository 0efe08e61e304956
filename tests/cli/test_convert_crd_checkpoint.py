# Copyright (c) mmdckd contributors. All rights reserved.
import argparse
import os
import runpy
import sys

import pytest
import torch
from mmpretrain import get_model

from helpers.crd_networks import NETWORKS
from helpers.paths import TOOLS

TOOL = TOOLS / 'convert_crd_checkpoint.py'


@pytest.fixture
def convert(monkeypatch):

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run


@pytest.fixture
def network():
    torch.manual_seed(0)
    return NETWORKS['resnet8'](num_classes=7).eval()


@pytest.mark.parametrize(
    'extra',
    [
        dict(epoch=240, accuracy=torch.tensor(72.3), optimizer=dict(state={})),
        dict(opt=argparse.Namespace(model='resnet8', learning_rate=0.05)),
    ],
)
def test_converts_a_checkpoint(convert, network, tmp_path, capsys, extra):
    torch.save(dict(model=network.state_dict(), **extra), tmp_path / 'a.pth')
    convert(tmp_path / 'a.pth', tmp_path / 'b.pth')
    said = capsys.readouterr().out
    assert "type='mmdckd.CIFARResNet'" in said and 'depth=8' in said

    (tmp_path / 'config.py').write_text(said[said.index('model =') :])
    model = get_model(str(tmp_path / 'config.py'), pretrained=str(tmp_path / 'b.pth'))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), network(images))
    assert sorted(os.listdir(tmp_path)) == ['a.pth', 'b.pth', 'config.py']


def test_teaches(convert, network, tmp_path):
    """A converted checkpoint is taken as a teacher's, whole."""
    from mmdckd.models.teachers import FrozenTeacher

    torch.save(dict(model=network.state_dict()), tmp_path / 'a.pth')
    convert(tmp_path / 'a.pth', tmp_path / 'b.pth')
    teacher = FrozenTeacher(
        dict(
            type='ImageClassifier',
            backbone=dict(type='mmdckd.CIFARResNet', depth=8),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=7, in_channels=64),
        ),
        str(tmp_path / 'b.pth'),
    )
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            teacher.model(images, mode='tensor'), network(images)
        )


def test_refuses(convert, network, tmp_path):
    with pytest.raises(SystemExit, match='error: .*expected an existing checkpoint'):
        convert(tmp_path / 'a.pth', tmp_path / 'b.pth')
    state_dict = network.state_dict()
    state_dict['layer4.weight'] = torch.zeros(1)
    torch.save(state_dict, tmp_path / 'a.pth')
    with pytest.raises(SystemExit, match='(?s)error: .*1 unknown: layer4.weight'):
        convert(tmp_path / 'a.pth', tmp_path / 'b.pth')
    (tmp_path / 'a.pth').write_bytes(b'noise')
    with pytest.raises(SystemExit, match='error: .*expected a PyTorch file'):
        convert(tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert os.listdir(tmp_path) == ['a.pth']
