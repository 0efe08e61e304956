# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler

from mmdckd.datasets import Digits
from mmdckd.datasets.fold_sampler import FoldSampler
from mmdckd.datasets.folded_pipeline import FoldedPipeline
from mmdckd.datasets.folds import Folds


def samplers(folds, world_size, epoch=0, shuffle=True):
    made = []
    for rank in range(world_size):
        sampler = DefaultSampler(folds, shuffle=shuffle, seed=3)
        sampler.rank, sampler.world_size = rank, world_size
        sampler.num_samples = -(-len(folds) // world_size)
        made.append(FoldSampler(sampler, folds))
        made[-1].set_epoch(epoch)
    return made


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(3, 20), min_size=2, max_size=5),
    world_size=st.integers(1, 3),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)
def test_every_row_of_k_images_is_of_k_folds(sizes, world_size, epoch, shuffle):
    folds = np.random.default_rng(0).permutation(np.repeat(range(len(sizes)), sizes))
    orders = [list(s) for s in samplers(folds, world_size, epoch, shuffle)]
    for order in orders:
        assert len(order) == -(-len(folds) // world_size)
        for start in range(0, len(order) - len(sizes) + 1, len(sizes)):
            row = folds[order[start : start + len(sizes)]]
            assert sorted(row) == list(range(len(sizes)))
    # An image is taken twice only once its fold is used up, by all together.
    counts = np.bincount(np.concatenate(orders), minlength=len(folds))
    for fold in range(len(sizes)):
        assert np.ptp(counts[folds == fold]) <= 1


def test_passes_differ_and_repeat_by_seed_and_epoch():
    folds = np.arange(60) % 3
    first, again, other = (list(samplers(folds, 1, e)[0]) for e in (1, 1, 2))
    assert first == again != other
    sampler = samplers(folds, 1)[0]
    sampler.seed = 4
    assert list(sampler) != list(samplers(folds, 1)[0]) and sampler.epoch == 0


@pytest.mark.parametrize('indices', [[3, 900], [0]])
def test_a_sample_knows_its_fold(indices):
    digits = Digits(pipeline=[dict(type='PackInputs', meta_keys=())])
    folds = Folds.of(digits, 4, 0)
    digits.pipeline = FoldedPipeline(digits.pipeline, folds, [])
    for index in indices:
        assert digits[index]['data_samples'].fold == folds.folds[index]
    # One that is not known is in none.
    other = Digits(split='test', pipeline=[dict(type='PackInputs')])
    other.pipeline = FoldedPipeline(other.pipeline, folds, [])
    assert other[0]['data_samples'].fold == -1
    assert len(digits.pipeline.transforms) == 1
