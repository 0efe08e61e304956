# Copyright (c) mmdckd contributors. All rights reserved.
import mmcv.transforms
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS

from mmdckd.report.image_size import train_image_size


def size_of(*pipeline):
    dataset = dict(type='ClassBalancedDataset', dataset=dict(pipeline=[*pipeline]))
    return train_image_size(Config(dict(train_dataloader=dict(dataset=dataset))))


@pytest.mark.parametrize(
    'transform',
    [
        dict(type='Resize', scale=(64, 32)),
        dict(type='mmcv.CenterCrop', crop_size=(64, 32)),
        dict(type='RandomCrop', crop_size=(64, 32)),
        dict(type='mmpretrain.RandomResizedCrop', scale=(64, 32)),
        dict(type='EfficientNetRandomCrop', scale=48),
    ],
)
def test_it_is_what_the_transform_makes(transform):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        made = TRANSFORMS.build(transform)(dict(img=np.zeros((90, 99, 3), np.uint8)))
    assert size_of(transform, dict(type='PackInputs')) == made['img'].shape[:2]


def test_of_a_lazy_config_and_of_torchvision():
    lazy = dict(type=mmcv.transforms.Resize, scale=(64, 32))
    assert size_of(lazy) == (32, 64)
    crop = dict(type='torchvision/RandomResizedCrop', size=48, scale=(0.1, 1.0))
    assert size_of(lazy, crop) == (48, 48)
    assert size_of(dict(type='PackInputs')) is None
