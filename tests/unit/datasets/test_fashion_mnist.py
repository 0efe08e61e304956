# Copyright (c) mmdckd contributors. All rights reserved.
"""Fashion-MNIST, of files in its format with noise in them."""

import gzip
import os.path as osp
import pickle

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.datasets import build_dataset

from helpers.clothes import make, write
from helpers.paths import ROOT
from mmdckd.datasets import FashionMNIST
from mmdckd.registry import DATASETS


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make(tmp_path_factory.mktemp('clothes'))


def images(dataset):
    return [item['img'].tobytes() for item in dataset]


def test_splits(root):
    parts = {
        split: FashionMNIST(root, split)
        for split in ('train', 'val', 'trainval', 'test')
    }
    counts = {
        split: set(np.bincount(dataset.get_gt_labels()))
        for split, dataset in parts.items()
    }
    assert counts == dict(train={33}, val={3}, trainval={36}, test={6})
    train, val, both, test = (set(images(part)) for part in parts.values())
    assert train | val == both and not train & val and not both & test
    # Of every class, the last of the data.
    labels = np.array(parts['trainval'].get_gt_labels())
    last = {i for c in range(10) for i in np.flatnonzero(labels == c)[-3:]}
    assert {images(parts['trainval'])[i] for i in last} == val


@pytest.mark.parametrize('split', ['trainval', 'test'])
def test_images_are_those_of_the_files(root, split):
    dataset = FashionMNIST(root, split)
    name = 't10k' if split == 'test' else 'train'
    with gzip.open(osp.join(root, f'{name}-images-idx3-ubyte.gz')) as file:
        pixels = np.frombuffer(file.read()[16:], np.uint8)
    with gzip.open(osp.join(root, f'{name}-labels-idx1-ubyte.gz')) as file:
        labels = np.frombuffer(file.read()[8:], np.uint8)
    pixels = pixels.reshape(-1, 28, 28)
    assert list(dataset.get_gt_labels()) == labels.tolist()
    for index in (0, 7, len(labels) - 1):
        item = dataset[index]
        assert item['img'].shape == (28, 28, 3)
        assert item['img'].dtype == np.uint8
        for channel in range(3):
            assert np.array_equal(item['img'][..., channel], pixels[index])


def test_uncompressed_files_are_read(root, tmp_path):
    plain = FashionMNIST(make(tmp_path, ''), 'val')
    assert images(plain) == images(FashionMNIST(root, 'val'))


def test_subset(root):
    few, more = (FashionMNIST(root, num_images=n) for n in (20, 100))
    assert np.bincount(few.get_gt_labels()).tolist() == [2] * 10
    whole = set(images(FashionMNIST(root)))
    assert set(images(few)) < set(images(more)) < whole
    assert len(FashionMNIST(root, 'val', num_images=10)) == 10


def test_classes_and_scopes(root):
    for scope, name in (
        ('mmpretrain', 'mmdckd.FashionMNIST'),
        ('mmdckd', 'FashionMNIST'),
        ('mmrazor', 'FashionMNIST'),
    ):
        with DefaultScope.overwrite_default_scope(scope):
            dataset = DATASETS.build(dict(type=name, data_root=root))
        assert isinstance(dataset, FashionMNIST)
        assert dataset.CLASSES[0] == 'T-shirt/top' and len(dataset.CLASSES) == 10
        assert 'Split: \ttrain' in repr(dataset)
    assert images(pickle.loads(pickle.dumps(dataset))) == images(dataset)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(split='dev'), "`split`: expected one of .*'trainval'.*got 'dev'"),
        (dict(num_images=331), 'from 1 to 330, got 331'),
    ],
)
def test_settings_that_cannot_be(root, kwargs, message):
    with pytest.raises(ValueError, match=message):
        FashionMNIST(root, **kwargs)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='apt-get install dataset-f'):
        FashionMNIST(str(tmp_path))


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('train-images-idx3-ubyte.gz', b'no archive', 'damaged'),
        ('train-images-idx3-ubyte.gz', None, 'damaged'),
        ('train-labels-idx1-ubyte.gz', np.zeros(9, np.uint8), 'expected Fashion'),
        ('train-labels-idx1-ubyte.gz', np.full(360, 10, np.uint8), '0 to 9'),
        (
            'train-images-idx3-ubyte.gz',
            np.zeros((360, 32, 32), np.uint8),
            r'\(360, 32, 32\)',
        ),
    ],
)
def test_other_files(tmp_path, name, content, message):
    root = make(tmp_path)
    path = tmp_path / name
    if content is None:  # cut off
        path.write_bytes(path.read_bytes()[:-1000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write(path, content)
    with pytest.raises(ValueError, match=f'`data_root`.*{message}'):
        FashionMNIST(root)


@pytest.mark.parametrize(
    'name, size', [('fashion_mnist', 28), ('fashion_mnist_32x32', 32)]
)
def test_data_configs(root, name, size):
    cfg = Config.fromfile(osp.join(ROOT, 'configs/_base_/datasets', f'{name}.py'))
    cfg.train_dataloader.dataset.num_images = 100
    for split, number in dict(train=100, val=30, test=60).items():
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.data_root = root
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = build_dataset(dataset)
        assert dataset.part == split and len(dataset) == number
        image = dataset[3]['inputs']
        assert image.shape == (3, size, size)
        if split != 'train':
            original = dataset.get_data_info(3)['img'].transpose(2, 0, 1)
            assert np.array_equal(image[:, :28, :28].numpy(), original)
            assert not image[:, 28:].any() and not image[..., 28:].any()
