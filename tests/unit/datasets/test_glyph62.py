# Copyright (c) mmdckd contributors. All rights reserved.
import pickle
import re

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from mmdckd.datasets import Glyph62
from mmdckd.registry import DATASETS


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Images of noise: 12 fonts to train, 2 to validate, 3 to test."""
    root = tmp_path_factory.mktemp('glyph62')
    rng = np.random.default_rng(0)
    for split, fonts in dict(train=12, val=2, test=3).items():
        np.savez_compressed(
            root / f'{split}.npz',
            images=rng.integers(0, 256, (62 * fonts, 32, 32), np.uint8),
            labels=np.tile(np.arange(62, dtype=np.uint8), fonts),
            fonts=np.repeat(np.arange(fonts, dtype=np.uint16), 62),
        )
    return root


def labels(dataset):
    return np.array([dataset[i]['gt_label'] for i in range(len(dataset))])


@pytest.mark.parametrize('split, fonts', [('train', 12), ('val', 2), ('test', 3)])
def test_items(root, split, fonts):
    dataset = Glyph62(str(root), split)
    arrays = np.load(root / f'{split}.npz')
    assert len(dataset) == 62 * fonts
    for index in (0, 61, 62 * fonts - 1):
        item = dataset[index]
        image = item['img']
        assert image.shape == (32, 32, 3) and image.dtype == np.uint8
        for channel in range(3):
            np.testing.assert_array_equal(image[..., channel], arrays['images'][index])
        assert item['gt_label'] == arrays['labels'][index]
        assert item['font'] == arrays['fonts'][index]
        assert item['img_shape'] == item['ori_shape'] == (32, 32)


def test_classes(root):
    classes = Glyph62(str(root)).CLASSES
    assert ''.join(classes) == (
        '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    )


@pytest.mark.parametrize('size', [16, 8, 1])
def test_size_averages_pixels(root, size):
    dataset = Glyph62(str(root), 'val', size=size)
    images = np.load(root / 'val.npz')['images'].astype(float)
    step = 32 // size
    for index in (0, 77):
        image = dataset[index]['img']
        assert image.shape == (size, size, 3)
        for row in range(size):
            for column in range(size):
                block = images[
                    index,
                    row * step : (row + 1) * step,
                    column * step : (column + 1) * step,
                ]
                assert abs(image[row, column, 0] - block.mean()) <= 0.5


def test_subset(root):
    subset, whole = Glyph62(str(root), subset=200), Glyph62(str(root))
    assert len(subset) == 200
    counts = np.bincount(labels(subset), minlength=62)
    assert set(counts) == {3, 4}
    images = {item['img'].tobytes(): item['gt_label'] for item in whole}
    assert all(images[item['img'].tobytes()] == item['gt_label'] for item in subset)


def test_subset_is_of_many_fonts(root):
    subset = Glyph62(str(root), subset=124)
    assert len({subset[i]['font'] for i in range(124)}) == 12


def test_built_by_name_with_a_pipeline(root):
    cfg = dict(
        type='mmdckd.Glyph62',
        data_root=str(root),
        split='test',
        size=16,
        pipeline=[dict(type='PackInputs')],
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(cfg)
    item = dataset[7]
    assert tuple(item['inputs'].shape) == (3, 16, 16)
    assert item['data_samples'].gt_label.tolist() == [7]
    assert 'test' in repr(dataset)
    batches = list(DataLoader(dataset, 62, collate_fn=lambda items: len(items)))
    assert batches == [62, 62, 62]
    assert len(pickle.loads(pickle.dumps(dataset))) == 186


def test_missing_files_say_how_to_make_them(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        Glyph62(str(tmp_path / 'none'), 'val')
    message = str(error.value)
    assert 'a folder with val.npz' in message
    assert re.search(
        r'make_glyph62\.py --fonts DIR \[DIR \.\.\.\] --out .*none', message
    )


@pytest.mark.parametrize('content', [b'', b'noise' * 100, 'truncated'])
def test_damaged_file(root, tmp_path, content):
    if content == 'truncated':
        content = (root / 'val.npz').read_bytes()[:5000]
    (tmp_path / 'val.npz').write_bytes(content)
    with pytest.raises(ValueError, match='val.npz.*make_glyph62.py'):
        Glyph62(str(tmp_path), 'val')


def test_another_archive(tmp_path):
    np.savez(tmp_path / 'val.npz', images=np.zeros((3, 32, 32), np.uint8))
    with pytest.raises(ValueError, match='labels'):
        Glyph62(str(tmp_path), 'val')


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(split='dev'), "'train', 'val', 'test'.* 'dev'"),
        (dict(size=12), 'divisor of 32.* 12'),
        (dict(size=0), 'divisor of 32.* 0'),
        (dict(size=64), 'divisor of 32.* 64'),
        (dict(subset=0), 'from 1 to 744, got 0'),
        (dict(subset=745), 'from 1 to 744, got 745'),
    ],
)
def test_bad_arguments(root, kwargs, message):
    with pytest.raises(ValueError, match=message):
        Glyph62(str(root), **kwargs)
