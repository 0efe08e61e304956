# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from mmdckd.datasets import Digits, PackCRDInputs


def digits(**kwargs):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Digits('train', pipeline=[dict(type='mmdckd.PackCRDInputs', **kwargs)])


def test_indices_are_those_of_the_images():
    dataset = digits(num_images=900, num_negatives=50)
    np.random.seed(0)
    for index in (0, 7, 400):
        sample = dataset[index]['data_samples']
        assert sample.sample_idx == index
        assert sample.sample_idx.dtype == torch.long
        own, negatives = sample.contrast_sample_idxs.split([1, 50])
        assert own == index
        assert 0 <= negatives.min() and negatives.max() < 900
        assert len(negatives.unique()) > 25
        assert sample.gt_label == dataset.get_data_info(index)['gt_label']


def test_given_indices_are_kept():
    image = np.zeros((4, 4, 3), np.uint8)
    given = dict(img=image, sample_idx=3, contrast_sample_idxs=np.arange(5))
    sample = PackCRDInputs().transform(given)['data_samples']
    assert sample.contrast_sample_idxs.tolist() == [0, 1, 2, 3, 4]
    assert given['sample_idx'] == 3


def test_without_negatives_there_is_the_index_alone():
    sample = digits()[2]['data_samples']
    assert sample.sample_idx == 2
    assert 'contrast_sample_idxs' not in sample


def test_half_of_what_is_needed_is_refused():
    with pytest.raises(ValueError, match='`num_images` .* expected both'):
        PackCRDInputs(num_images=10)
