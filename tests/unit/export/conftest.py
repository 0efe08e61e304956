# Copyright (c) mmdckd contributors. All rights reserved.
import mmcv
import pytest
import torch
from sklearn.datasets import load_sample_image

from helpers.networks import network, token_network
from helpers.runs import run_config, train
from mmdckd.datasets import Digits


@pytest.fixture(scope='session')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('export')


@pytest.fixture(scope='session')
def run(trained):
    """A run of two equal networks."""
    return trained


@pytest.fixture(scope='session')
def mixed_run(folder):
    """A run whose students come from three kinds of configs."""
    local = folder / 'local.py'
    local.write_text(f'model = {network(34)}\n')
    students = dict(
        package=dict(
            cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py',
            backbone=dict(stem_channels=4, base_channels=4),
            head=dict(in_channels=32),
        ),
        local=dict(cfg_path=str(local)),
        inline=network(18, 6),
    )
    return train(run_config(folder, dict(students=students)))


@pytest.fixture(scope='session')
def token_run(folder):
    """A run whose students have a class and a distillation classifier."""
    heads = dict(
        deit='DeiTClsHead', former='EfficientFormerClsHead', levit='LeViTClsHead'
    )
    students = {name: token_network(head, 12) for name, head in heads.items()}
    return train(run_config(folder, dict(students=students)))


@pytest.fixture(scope='session')
def images(folder):
    """Real images as files: photographs in color, and digits."""
    torch.manual_seed(0)
    paths = []
    for name in ('china.jpg', 'flower.jpg'):
        photo = load_sample_image(name)[..., ::-1]
        for part, image in enumerate((photo, photo[100:300, 200:340])):
            paths.append(str(folder / f'{name[:-4]}{part}.png'))
            mmcv.imwrite(image, paths[-1])
    for index in (0, 1, 2, 100):
        paths.append(str(folder / f'digit{index}.png'))
        mmcv.imwrite(Digits(split='test')[index]['img'], paths[-1])
    return paths


@pytest.fixture(scope='session')
def digit_folder(folder):
    """The test images of the runs, as a folder of PNG files a class."""
    root = folder / 'digits'
    for index, item in enumerate(Digits(split='test', indices=40)):
        mmcv.imwrite(item['img'], str(root / str(item['gt_label']) / f'{index}.png'))
    return str(root)
