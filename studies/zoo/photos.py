# Copyright (c) mmdckd contributors. All rights reserved.
"""Load two photographs as a batch with the pipeline of a config."""

import os.path as osp

import mmcv
import sklearn.datasets
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS

_PHOTOS = [
    osp.join(osp.dirname(sklearn.datasets.__file__), 'images', name)
    for name in ('china.jpg', 'flower.jpg')
]
#: The size and colors of the images of datasets without image files.
_IN_MEMORY = {
    'CIFAR10': (32, 'color'),
    'CIFAR100': (32, 'color'),
    'MNIST': (28, 'grayscale'),
}


def photo_batch(cfg: Config, split: str) -> dict:
    """Load two photographs, labeled 0 and 1.

    Args:
        cfg (Config): A config of MMPretrain.
        split (str): The pipeline to use, ``'train'`` or ``'test'``.

    Returns:
        dict: ``inputs`` and ``data_samples``, collated as by a dataloader of
        this config.
    """
    dataset = cfg[f'{split}_dataloader'].dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([TRANSFORMS.build(t) for t in dataset.pipeline])
    samples = []
    for label, path in enumerate(_PHOTOS):
        sample = dict(img_path=path, gt_label=label)
        if dataset.type in _IN_MEMORY:
            side, flag = _IN_MEMORY[dataset.type]
            sample['img'] = mmcv.imresize(mmcv.imread(path, flag), (side, side))
        if dataset.type == 'VOC':
            sample['gt_label'] = [label, label + 2]
        samples.append(pipeline(sample))
    return default_collate(samples)
