# Copyright (c) mmdckd contributors. All rights reserved.
import hashlib
import os.path as osp
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmpretrain import ImageClassificationInferencer
from mmpretrain.datasets import build_dataset
from mmpretrain.registry import TRANSFORMS
from mmpretrain.visualization import UniversalVisualizer
from sklearn.datasets import load_digits

from helpers.paths import ROOT
from mmdckd.datasets import Digits, digits
from mmdckd.datasets.digits import split_indices

CONFIGS = osp.join(ROOT, 'configs')
SIZES = dict(train=1077, val=360, test=360)
#: SHA-256 of a split's indices, as little-endian 64-bit integers.
CHECKSUMS = dict(
    train='282576c6c00f5f11c0f4368084550030fa0711de79b22be877bbf5b222e14de8',
    val='7f2e4ceaf36124a794652de546b196ab7c86f39b075571289926fa8a86e2d117',
    test='cb59da448fb4fd9686621390e1ce58ef8ee1f53d4971daeb1ec9b92997f23ae3',
)


@pytest.fixture(scope='module')
def images():
    return Digits(split='test')


@pytest.mark.parametrize('split', SIZES)
def test_split_never_changes(split):
    indices = split_indices(load_digits().target, split)
    digest = hashlib.sha256(indices.astype('<i8').tobytes()).hexdigest()
    assert digest == CHECKSUMS[split]


def test_splits_share_no_image_and_leave_none():
    labels = load_digits().target
    indices = [split_indices(labels, split) for split in SIZES]
    assert sorted(np.concatenate(indices)) == list(range(1797))


def test_splits_have_the_documented_counts():
    counts = {
        split: np.bincount(Digits(split=split).get_gt_labels()).tolist()
        for split in SIZES
    }
    assert counts == dict(
        train=[106, 110, 105, 111, 109, 110, 109, 107, 102, 108],
        val=[36] * 10,
        test=[36] * 10,
    )


def test_no_form_is_both_trained_and_tested_on():
    labels = load_digits().target
    # Every form starts with the ten digits, three times.
    start = ''.join(map(str, range(10))) * 3
    text = ''.join(map(str, labels))
    starts = [i for i in range(len(text)) if text.startswith(start, i)]
    forms = np.searchsorted(starts, np.arange(len(labels)), side='right')
    trained, tested = (
        set(forms[split_indices(labels, split)]) for split in ('train', 'test')
    )
    assert len(tested) > 1
    assert not trained & tested


@pytest.mark.parametrize('split', SIZES)
def test_images_are_those_of_scikit_learn(split):
    source, dataset = load_digits(), Digits(split=split)
    assert len(dataset) == SIZES[split]
    for i, index in enumerate(split_indices(source.target, split)):
        item = dataset[i]
        assert item['img'].dtype == np.uint8
        assert item['img'].shape == (8, 8, 3)
        assert item['img_shape'] == item['ori_shape'] == (8, 8)
        assert item['sample_idx'] == i
        assert item['gt_label'] == source.target[index]
        for channel in range(3):
            gray = np.rint(item['img'][..., channel] * (16 / 255))
            assert np.array_equal(gray, source.images[index])
    assert dataset[len(dataset) - 1]['img'].max() == 255


@pytest.mark.parametrize('serialize', [True, False])
def test_works_as_a_dataset_of_mmpretrain(serialize):
    dataset = Digits(split='val', serialize_data=serialize)
    assert dataset.CLASSES == tuple('0123456789')
    assert dataset.metainfo['classes'] == tuple('0123456789')
    labels = dataset.get_gt_labels()
    assert [dataset.get_cat_ids(i) for i in range(360)] == [[label] for label in labels]
    dataset[0]['img'][:] = 7
    assert dataset[0]['img'].min() == 0
    assert 'val' in repr(dataset)
    assert len(Digits(split='val', indices=5)) == 5
    assert len(Digits(split='val', lazy_init=True)) == 360


def test_works_in_the_wrappers_of_mmpretrain():

    def wrap(**cfg):
        source = dict(type='mmdckd.Digits', split='train')
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return build_dataset(dict(dataset=source, **cfg))

    assert len(wrap(type='RepeatDataset', times=2)) == 2 * 1077
    folds = [
        wrap(type='KFoldDataset', fold=0, num_splits=3, test_mode=held_out)
        for held_out in (False, True)
    ]
    assert [len(fold) for fold in folds] == [718, 359]
    # The rarest class, 8, has 102 images; 111 of 1077 is a frequency of 0.103.
    balanced = wrap(type='ClassBalancedDataset', oversample_thr=0.103)
    labels = Digits().get_gt_labels()
    repeats = np.bincount(np.array(labels)[balanced.repeat_indices])
    assert repeats[3] == 111 and repeats[8] == 204


@given(
    index=st.integers(0, 359),
    transforms=st.lists(
        st.sampled_from(
            [
                dict(type='RandomFlip', prob=0.5),
                dict(type='RandomCrop', crop_size=8, padding=1),
                dict(type='Rotate', angle=10.0, prob=0.5),
                dict(type='ColorJitter', brightness=0.4),
                dict(type='RandomResizedCrop', scale=8),
            ]
        ),
        max_size=3,
    ),
)
def test_takes_the_transforms_of_mmpretrain(images, index, transforms):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [TRANSFORMS.build(t) for t in [*transforms, dict(type='PackInputs')]]
        )
    item = images.get_data_info(index)
    sample = pipeline(item)
    assert sample['inputs'].shape == (3, 8, 8)
    assert sample['inputs'].dtype == torch.uint8
    assert sample['data_samples'].gt_label == item['gt_label']
    assert sample['data_samples'].sample_idx == index


def test_reads_the_same_from_a_png_file(images, tmp_path):
    for i in range(0, 360, 40):
        image = images[i]['img']
        path = str(tmp_path / f'{i}.png')
        assert cv2.imwrite(path, image)
        loaded = LoadImageFromFile()(dict(img_path=path))['img']
        assert np.array_equal(loaded, image)


def test_scores_the_same_through_the_inferencer(images, tmp_path):
    cfg = Config.fromfile(osp.join(CONFIGS, 'teachers', 'resnet34_digits.py'))
    torch.manual_seed(0)
    inferencer = ImageClassificationInferencer(
        cfg, pretrained=False, classes=Digits.METAINFO['classes']
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = build_dataset(cfg.test_dataloader.dataset)
    batch = default_collate([dataset[i] for i in range(12)])
    with torch.no_grad():
        expected = inferencer.model.test_step(batch)

    paths = [str(tmp_path / f'{i}.png') for i in range(12)]
    for path, item in zip(paths, images):
        cv2.imwrite(path, item['img'])
    results = inferencer(paths, batch_size=12)
    assert len({result['pred_score'] for result in results}) > 1
    for result, sample in zip(results, expected):
        assert np.array_equal(result['pred_scores'], sample.pred_score.numpy())
        assert result['pred_class'] == str(int(sample.pred_label))


def test_can_be_drawn(images):
    item = images[0]
    sample = TRANSFORMS.get('PackInputs')()(item)['data_samples']
    drawn = UniversalVisualizer().visualize_cls(
        item['img'], sample, classes=Digits.METAINFO['classes'], resize=64
    )
    assert drawn.shape == (64, 64, 3)


@pytest.mark.parametrize('split', ['Train', 'training', '', None])
def test_rejects_an_unknown_split(split):
    with pytest.raises(ValueError, match=r"`split`.*'train', 'val', 'test'"):
        Digits(split=split)


def test_says_that_scikit_learn_is_missing(monkeypatch):
    monkeypatch.setattr(digits, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='pip install scikit-learn'):
        digits._pixels_and_labels.__wrapped__()


def test_few_images_have_all_classes_and_are_part_of_more():
    few, more = (Digits(num_images=number) for number in (25, 100))
    assert sorted(Counter(few.get_gt_labels().tolist()).values()) == [2] * 5 + [3] * 5
    images = {each['img'].tobytes() for each in more}
    assert len(more) == 100 and {each['img'].tobytes() for each in few} <= images
    with pytest.raises(ValueError, match='Invalid `num_images`: expected a number of'):
        Digits(num_images=2000)
