# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
from mmengine.dataset import RepeatDataset

from mmdckd.datasets import Digits, WithoutFold
from mmdckd.registry import DATASETS


class EveryThirdBroken:
    """Reads nothing of two thirds of the images."""

    def __call__(self, results):
        return results if results['sample_idx'] % 3 == 0 else None


def taken(dataset):
    return {dataset.get_data_info(i)['sample_idx'] for i in range(len(dataset))}


def test_blind_parts_and_folds_divide_the_images():
    whole = set(range(1077))
    seen = []
    for fold in range(4):
        blind = WithoutFold(Digits(), num_folds=4, fold=fold)
        rest = WithoutFold(Digits(), num_folds=4, fold=fold, only=True)
        assert taken(blind) | taken(rest) == whole
        assert not taken(blind) & taken(rest)
        labels = [blind.get_cat_ids(i)[0] for i in range(len(blind))]
        assert labels == blind.get_gt_labels().tolist()
        assert set(labels) == set(range(10))
        seen.append(taken(rest))
    assert set().union(*seen) == whole and sum(map(len, seen)) == 1077
    assert taken(WithoutFold(Digits(), num_folds=4)) == whole


def test_built_from_a_config_inside_a_wrapper():
    blind = dict(
        type='mmdckd.WithoutFold',
        dataset=dict(type='mmdckd.Digits'),
        num_folds=2,
        fold=1,
    )
    dataset = DATASETS.build(blind)
    assert dataset.metainfo['classes'] == tuple('0123456789')
    assert len(RepeatDataset(blind, 2)) == 2 * len(dataset)
    np.testing.assert_array_equal(dataset[3]['img'], dataset.get_data_info(3)['img'])


def test_a_broken_image_is_replaced_by_one_that_is_seen():
    digits = Digits(pipeline=[EveryThirdBroken()])
    blind = WithoutFold(digits, num_folds=2, fold=0)
    folds = blind.folds.folds
    loaded = [blind[i]['sample_idx'] for i in range(100)]
    assert set(folds[loaded]) == {1}
    with pytest.raises(ValueError, match='got .* broken ones in a row'):
        WithoutFold(Digits(pipeline=[lambda results: None]), 2, 0)[0]


@pytest.mark.parametrize('fold', [4, -1, 1.5, True, '0'])
def test_folds_that_there_are_not(fold):
    with pytest.raises(ValueError, match='Invalid `fold`: .* from 0 to 3, got'):
        WithoutFold(Digits(), num_folds=4, fold=fold)


def test_only_none_and_wrappers_inside_are_refused():
    with pytest.raises(ValueError, match='Invalid `fold`'):
        WithoutFold(Digits(), num_folds=4, only=True)
    with pytest.raises(TypeError, match='got a RepeatDataset'):
        WithoutFold(RepeatDataset(Digits(), 2), num_folds=4, fold=0)


def test_a_broken_image_is_not_replaced_in_a_test():
    digits = Digits(num_images=40, pipeline=[EveryThirdBroken()], test_mode=True)
    blind = WithoutFold(digits, num_folds=2)
    assert blind[3]['sample_idx'] == 3
    with pytest.raises(Exception, match='Test time'):
        blind[1]
