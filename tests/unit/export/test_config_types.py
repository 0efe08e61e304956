# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
import re

import pytest
import torch

from mmdckd.export import export_student
from mmdckd.export.config_types import check_types
from mmdckd.io import trust


@pytest.fixture(params=['cfg', 'students'])
def malicious(run, tmp_path, request):
    """A checkpoint whose config calls something when it is built."""
    content = torch.load(osp.join(run.work_dir, 'epoch_2.pth'), weights_only=False)
    meta, called = content['meta'], tmp_path / 'called'
    if request.param == 'students':
        neck = dict(type='os.system', command=f'touch {called}')
        meta['students']['student0']['neck'] = neck
    else:
        del meta['students']
        neck = r"neck=dict\(\s*type='GlobalAveragePooling'\s*\)"
        assert re.search(neck, meta['cfg'])
        planted = f"neck=dict(type='os.system', command='touch {called}')"
        meta['cfg'] = re.sub(neck, planted, meta['cfg'])
    path = tmp_path / 'malicious.pth'
    torch.save(content, path)
    return str(path), called


def test_a_config_in_a_checkpoint_calls_nothing(malicious, tmp_path):
    path, called = malicious
    with pytest.raises(ValueError, match=r"neck\.type` .* got 'os\.system'"):
        export_student(path, str(tmp_path / 'out'), 'student0')
    assert not called.exists()


def test_it_does_where_checkpoints_are_trusted(malicious, tmp_path, monkeypatch):
    path, called = malicious
    monkeypatch.setattr(trust, '_trusted', True)
    export_student(path, str(tmp_path / 'out'), 'student0')
    assert called.exists()


@pytest.mark.parametrize(
    'name',
    [
        'ResNet',
        'mmpretrain.ResNet',
        'Mixup',
        'mmpretrain.CutMix',
        'mmdckd.Digits',
        'mmengine.DefaultSampler',
        'torch.nn.ReLU',
        'mmpretrain.models.backbones.resnet.ResNet',
        'mmcv.transforms.processing.Resize',
        'mmengine.dataset.DefaultSampler',
    ],
)
def test_parts_are_taken(name):
    check_types(dict(model=[dict(type=name)]), 'cfg')


@pytest.mark.parametrize(
    'name',
    [
        'os.system',
        'subprocess.Popen',
        'mmengine.utils.install_package',
        'mmengine.list_from_file',
        'torch.hub.load',
        'torch.load',
        'torch.nothing',
        'mmengine.nothing.at.all',
    ],
)
def test_what_is_no_part_is_refused(name):
    with pytest.raises(ValueError, match=r'`cfg\.model\.0\.type`'):
        check_types(dict(model=[dict(type=name)]), 'cfg')
