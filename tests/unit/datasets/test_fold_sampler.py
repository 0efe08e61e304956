# Copyright (c) mmdckd contributors. All rights reserved.
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler
from mmengine.structures import BaseDataElement
from torch.utils.data import BatchSampler

from mmdckd.datasets import Digits
from mmdckd.datasets.fold_sampler import FoldSampler
from mmdckd.datasets.folded_pipeline import FoldedPipeline
from mmdckd.datasets.folds import Folds, image_identity
from mmdckd.engine.loops.seeded_batches import SeededBatches


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


def drawn(sampler):
    """What the transforms of each image of a pass draw."""
    batches = SeededBatches(BatchSampler(sampler, 6, drop_last=False), seed=1)
    batches.begin(0)
    return {index: random.random() for batch in batches for index in batch}


@pytest.mark.parametrize('world_size', [2, 3])
def test_transforms_draw_as_in_one_process(world_size):
    folds = np.arange(72) % 3
    found = {}
    for sampler in samplers(folds, world_size):
        found.update(drawn(sampler))
    assert len(found) == 72
    assert found == drawn(*samplers(folds, 1))


def test_a_last_batch_and_images_without_a_fold_come_in_turns():
    places = [s.places_of([0, 1, 2, 3, 90, 91]) for s in samplers(np.arange(72) % 3, 2)]
    assert places == [[0, 1, 2, 6, 8, 10], [3, 4, 5, 7, 9, 11]]


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


def test_a_fold_is_that_of_the_image_before_it_is_transformed():
    info = dict(img_path='/data/cat/0.png')
    folds = Folds([image_identity(info, ['/data']), 1], [0, 0], 2, 0)

    def transform(results):
        results['img_path'] = 'another'
        return dict(data_samples=BaseDataElement())

    packed = FoldedPipeline(transform, folds, ['/data'])(dict(info))
    assert packed['data_samples'].fold == folds.folds[0]
    # An image that a transform skips.
    assert FoldedPipeline(lambda results: None, folds, [])(info) is None
