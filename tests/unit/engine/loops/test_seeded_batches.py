# Copyright (c) mmdckd contributors. All rights reserved.
"""The order and the random numbers of a pass over the data."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader, Dataset, IterableDataset

from mmdckd.engine.loops.seeded_batches import SeededBatches


class Numbers(Dataset):
    """Gives an index, and what each generator draws for it."""

    def __init__(self, size=23):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        draws = random.random(), np.random.rand(), torch.rand(()).item()
        return (index,) + draws


def collate(samples):
    """A batch, and what is drawn when it is made."""
    return samples + [('batch', np.random.rand(), torch.rand(()).item())]


def loader(sampler, workers=0, batch_size=4, size=23, **kwargs):
    data = Numbers(size)
    if sampler is not None:
        kwargs['sampler'] = sampler(data)
    else:
        kwargs['shuffle'] = True
    return DataLoader(
        data, batch_size=batch_size, num_workers=workers, collate_fn=collate, **kwargs
    )


def one_pass(dataloader, epoch, samples=0, count=6, seed=3):
    """The first batches of a pass, and the batches that were passed over."""
    batches = SeededBatches.install(dataloader, seed)
    passed = batches.begin(epoch, samples)
    got = []
    for batch in dataloader:
        # What else is drawn in this process changes nothing.
        torch.rand(3), np.random.rand(3), random.random()
        got.append(batch)
        batches.count_batch()
        if len(got) + passed == count:
            break
    return passed, got, batches.samples


SAMPLERS = dict(
    default=lambda data: DefaultSampler(data, seed=1),
    infinite=lambda data: InfiniteSampler(data, seed=1),
    torch=None,
)


@pytest.mark.parametrize('name', SAMPLERS)
@pytest.mark.parametrize('workers', [0, 2])
def test_a_pass_is_begun_inside(name, workers):
    whole = one_pass(loader(SAMPLERS[name]), 2)[1]
    for skip in (0, 1, 5):
        passed, rest, samples = one_pass(loader(SAMPLERS[name], workers), 2, 4 * skip)
        assert passed == skip
        assert rest == whole[skip:]
        assert samples == min(24, 23 if name != 'infinite' else 24)


def test_passes_and_seeds_differ():
    first = one_pass(loader(SAMPLERS['default']), 0)[1]
    for other in (
        one_pass(loader(SAMPLERS['default']), 1)[1],
        one_pass(loader(SAMPLERS['default']), 0, seed=4)[1],
    ):
        assert first != other
    # No two samples of a pass draw the same.
    draws = [value for batch in first for sample in batch for value in sample[1:]]
    assert len({*draws}) == len(draws)


@given(
    world_size=st.integers(1, 4),
    batch_size=st.integers(1, 4),
    samples=st.integers(0, 30),
    epoch=st.integers(0, 3),
)
def test_any_number_of_processes_draws_the_same(world_size, batch_size, samples, epoch):
    """Together they load what one process loads."""

    def drawn(world_size, batch_size):
        found = []
        for rank in range(world_size):
            sampler = DefaultSampler(Numbers(24), seed=1)
            sampler.rank, sampler.world_size = rank, world_size
            sampler.num_samples = 24 // world_size
            sampler.total_size = 24
            dataloader = DataLoader(
                Numbers(24), batch_size=batch_size, sampler=sampler, collate_fn=list
            )
            batches = SeededBatches.install(dataloader, 3)
            batches._rank, batches._world_size = rank, world_size
            batches.begin(epoch, samples)
            found += [sample for batch in dataloader for sample in batch]
        return {*found}

    assert drawn(world_size, batch_size) == drawn(1, world_size * batch_size)


@pytest.mark.parametrize('workers', [0, 2])
def test_the_places_of_the_next_batch_are_known(workers):
    dataloader = loader(SAMPLERS['default'], workers)
    batches = SeededBatches.install(dataloader, 3)
    batches.begin(0, 8)
    found = []
    for _ in dataloader:
        found.append(list(batches.places))
        batches.count_batch()
    assert found == [[8, 9, 10, 11], [12, 13, 14, 15], [16, 17, 18, 19], [20, 21, 22]]


def test_who_else_iterates_is_not_counted():
    """A hook that computes statistics before an epoch, say."""
    dataloader = loader(SAMPLERS['default'])
    batches = SeededBatches.install(dataloader, 3)
    once, again = list(dataloader), list(dataloader)
    assert once == again and len(once) == 6
    assert batches.samples == 0 and not batches._drawn
    assert one_pass(dataloader, 0)[1] == once


def test_the_rest_of_the_sampler_is_reached_through_it():
    dataloader = loader(SAMPLERS['default'])
    batches = SeededBatches.install(dataloader, 3)
    assert len(dataloader) == len(batches) == 6
    assert batches.batch_size == 4
    assert dataloader.batch_sampler.sampler is dataloader.sampler
    again = SeededBatches.install(dataloader, 3)
    assert not isinstance(again.batch_sampler, SeededBatches)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    'dataloader',
    [DataLoader(Stream(), batch_size=2), DataLoader(Numbers(), batch_size=None)],
)
def test_what_has_no_order_is_refused(dataloader):
    with pytest.raises(ValueError, match='expected an order that can be repeated'):
        SeededBatches.install(dataloader, 3)
