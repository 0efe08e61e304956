# Copyright (c) mmdckd contributors. All rights reserved.
"""Batches of labeled and unlabeled images."""

from collections import Counter
from itertools import chain, islice

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader

from mmdckd.datasets import Digits, MixedBatchSampler, WithUnlabeled
from mmdckd.datasets import mixed_batch_sampler as module
from mmdckd.engine.loops.seeded_batches import SeededBatches


class Sized:
    """As much of a dataset as samplers see."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


def mixed(labeled, unlabeled):
    return WithUnlabeled(Sized(labeled), Sized(unlabeled))


def batches(sampler, epochs=1):
    for epoch in range(epochs):
        sampler.sampler.set_epoch(epoch)
        yield list(sampler)


def sampler_of(labeled, unlabeled, batch_size=8, share=0.5, seed=3, **kwargs):
    dataset = mixed(labeled, unlabeled)
    return MixedBatchSampler(
        DefaultSampler(dataset, seed=seed), batch_size, share, **kwargs
    )


@settings(max_examples=60, deadline=None)
@given(
    labeled=st.integers(1, 50),
    unlabeled=st.integers(1, 60),
    batch_size=st.integers(2, 16),
    share=st.floats(0.05, 0.95),
    drop_last=st.booleans(),
    epochs=st.integers(1, 5),
)
def test_passes_and_shares(labeled, unlabeled, batch_size, share, drop_last, epochs):
    assume(0 < round(share * batch_size) < batch_size)
    sampler = sampler_of(labeled, unlabeled, batch_size, share, drop_last=drop_last)
    beside = round(share * batch_size)
    seen = []
    for epoch in batches(sampler, epochs):
        assert len(epoch) == len(sampler)
        own = [i for batch in epoch for i in batch if i < labeled]
        kept = labeled - labeled % (batch_size - beside) if drop_last else labeled
        assert len(own) == len(set(own)) == kept
        for batch in epoch:
            rest = [i for i in batch if i >= labeled]
            assert batch == [i for i in batch if i < labeled] + rest
            if len(batch) == batch_size:
                assert len(rest) == beside
            else:
                asked = beside / (batch_size - beside) * (len(batch) - len(rest))
                assert len(rest) == max(1, round(asked))
            seen += rest
    # Every unlabeled image once before any is seen again, from epoch to epoch.
    for start in range(0, len(seen), unlabeled):
        one_pass = seen[start : start + unlabeled]
        assert len(one_pass) == len(set(one_pass))
        assert set(one_pass) <= set(range(labeled, labeled + unlabeled))


@settings(max_examples=40, deadline=None)
@given(
    labeled=st.integers(2, 40),
    unlabeled=st.integers(1, 40),
    world_size=st.integers(2, 4),
    epochs=st.integers(1, 3),
)
def test_processes_share_a_pass(labeled, unlabeled, world_size, epochs):
    info = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(module, 'get_dist_info', lambda: info['dist'])
    patch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: info['dist'])
    of_ranks = []
    with patch.context():
        for rank in range(world_size):
            info['dist'] = rank, world_size
            sampler = sampler_of(labeled, unlabeled, batch_size=4)
            of_ranks.append([b for epoch in batches(sampler, epochs) for b in epoch])
    patch.undo()
    assert len({tuple(map(len, own)) for own in of_ranks}) == 1
    drawn = [[i for b in own for i in b if i >= labeled] for own in of_ranks]
    row = list(chain.from_iterable(zip(*drawn)))
    for start in range(0, len(row), unlabeled):
        one_pass = row[start : start + unlabeled]
        assert len(one_pass) == len(set(one_pass))
    own = Counter(i for rank in of_ranks for b in rank for i in b if i < labeled)
    assert set(own) == set(range(labeled))


def test_passes_differ_and_follow_from_the_seed():
    def seen(seed):
        sampler = sampler_of(8, 8, seed=seed)
        return [
            [i for b in epoch for i in b if i >= 8] for epoch in batches(sampler, 2)
        ]

    first, second = seen(3)
    assert sorted(first) == sorted(second) and first != second
    assert seen(3) == [first, second]
    assert seen(4) != [first, second]


@settings(max_examples=30, deadline=None)
@given(epoch=st.integers(0, 4), passed=st.integers(0, 4))
def test_a_pass_begins_anywhere(epoch, passed):
    """As `ExactResumeHook` begins one, in a process that has seen no other."""

    def begun(samples):
        sampler = sampler_of(18, 13)
        seeded = SeededBatches(sampler, 0)
        seeded.begin(epoch, samples)
        return [list(each.indices) for each in seeded]

    whole = begun(0)
    assert begun(sum(map(len, whole[:passed]))) == whole[passed:]


def test_endless_samplers():
    sampler = MixedBatchSampler(InfiniteSampler(mixed(5, 7), seed=1), 4, 0.5)
    drawn = list(chain.from_iterable(islice(sampler, 35)))
    assert set(Counter(drawn).values()) == {14, 10}


def test_a_share_of_nothing_is_the_batches_of_labeled_images():
    sampler = sampler_of(21, 5, share=0.0)
    expected = BatchSampler(DefaultSampler(mixed(21, 5), seed=3), 8, False)
    assert list(sampler) == list(expected) and len(sampler) == len(expected)


@pytest.mark.parametrize(
    'share, message',
    [
        (1.0, 'expected a number from 0 to less than 1, got 1.0'),
        (-0.1, 'expected a number from 0'),
        ('0.5', 'expected a number from 0'),
        (0.99, 'at least one labeled and one unlabeled image in a batch of 8'),
        (0.01, 'at least one labeled and one unlabeled image in a batch of 8'),
    ],
)
def test_shares_that_cannot_be(share, message):
    with pytest.raises(ValueError, match=f'Invalid `unlabeled_share`: .*{message}'):
        sampler_of(8, 8, share=share)


def test_other_datasets():
    with pytest.raises(ValueError, match='expected mmdckd.WithUnlabeled, got Digits'):
        MixedBatchSampler(DefaultSampler(Digits(indices=8)), 4)


def test_real_batches_are_marked():
    pipeline = [dict(type='mmpretrain.PackInputs')]
    dataset = WithUnlabeled(
        Digits(indices=12, pipeline=pipeline),
        dict(type='mmdckd.Digits', split='val', indices=6, pipeline=pipeline),
    )
    assert len(dataset) == 12 and dataset.metainfo['classes'] == tuple('0123456789')
    # The indices of unlabeled images follow those of the labeled ones.
    for index in (0, 5):
        expected = dataset.unlabeled.dataset[index]['inputs']
        assert torch.equal(dataset[12 + index]['inputs'], expected)
        assert dataset.get_data_info(12 + index)['sample_idx'] == index
    loader = DataLoader(
        dataset,
        batch_sampler=MixedBatchSampler(DefaultSampler(dataset), 6, 0.5),
        collate_fn=list,
    )
    for batch in loader:
        labeled, rest = batch[:3], batch[3:]
        assert all('gt_label' in each['data_samples'] for each in labeled)
        assert not any(each['data_samples'].get('unlabeled') for each in labeled)
        assert not any('gt_label' in each['data_samples'] for each in rest)
        assert all(each['data_samples'].unlabeled for each in rest)
        assert all(len(each['inputs']) == 3 for each in batch)


def test_no_unlabeled_image():
    with pytest.raises(ValueError, match='Invalid `unlabeled` of WithUnlabeled'):
        mixed(3, 0)
