# Copyright (c) mmdckd contributors. All rights reserved.
"""Random numbers that follow from where a run is, not from how it got there.

A generator that goes on from step to step has a state that a resumed run
would need, in every process that loads data as well. Seeding before each
thing that draws leaves no such state.
"""

import random
from contextlib import contextmanager
from enum import IntEnum
from typing import Iterator, Tuple

import numpy as np
import torch
from mmengine.device import get_device


class Draw(IntEnum):
    """What random numbers are drawn for."""

    PASS = 0  # the order of the samples
    SAMPLE = 1  # the transforms of one
    COLLATE = 2  # the making of a batch
    BEFORE_STEP = 3  # the hooks before a step
    STEP = 4  # the step: dropout, mixup and the like
    VALIDATION = 5
    AFTER_EPOCH = 6  # the hooks after an epoch
    STATISTICS = 7  # statistics that are measured beside the training


def seed_data(*key: int) -> None:
    """Seed what transforms draw from: Python, NumPy and torch on the CPU.

    Args:
        *key (int): What the random numbers follow from, none negative.
    """
    torch.default_generator.manual_seed(_seed_host(key))


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and torch on every device.

    Args:
        *key (int): What the random numbers follow from, none negative.
    """
    if get_device() == 'cpu':  # where the same takes ten times as long
        seed_data(*key)
    else:
        torch.manual_seed(_seed_host(key))


@contextmanager
def unchanged_randomness() -> Iterator[None]:
    """Leave the generators of Python, NumPy and torch as they were before."""
    python, numpy = random.getstate(), np.random.get_state()
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.current_device()] if cuda else []
    with torch.random.fork_rng(devices):
        yield
    random.setstate(python)
    np.random.set_state(numpy)


def _seed_host(key: Tuple[int, ...]) -> int:
    """Seed Python and NumPy, and return the seed for torch."""
    words = np.random.SeedSequence(key).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    return int(words[2])
