# Copyright (c) mmdckd contributors. All rights reserved.
"""Random numbers that depend on the position in a run, not on its history.

A generator that advances from step to step has a state that a resumed run would
need, in every process that loads data too. Setting the seed before everything
that draws leaves no such state.
"""

import random
from contextlib import contextmanager
from enum import IntEnum
from typing import Iterator, Tuple

import numpy as np
import torch
from mmengine.device import get_device


class Draw(IntEnum):
    """The purposes that random numbers are drawn for."""

    PASS = 0  # the order of the samples
    SAMPLE = 1  # the transforms of one sample
    COLLATE = 2  # collating a batch
    BEFORE_STEP = 3  # the hooks before a step
    STEP = 4  # the step: dropout, mixup and the like
    VALIDATION = 5
    AFTER_EPOCH = 6  # the hooks after an epoch
    STATISTICS = 7  # statistics measured beside the training


def seed_data(*key: int) -> None:
    """Seed what transforms draw from: Python, NumPy and torch on the CPU.

    Args:
        *key (int): Non-negative numbers that determine the random numbers.
    """
    torch.default_generator.manual_seed(_seed_host(key))


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and torch on every device.

    Args:
        *key (int): Non-negative numbers that determine the random numbers.
    """
    if get_device() == 'cpu':  # where torch.manual_seed takes ten times as long
        seed_data(*key)
    else:
        torch.manual_seed(_seed_host(key))


@contextmanager
def unchanged_randomness() -> Iterator[None]:
    """Restore the generators of Python, NumPy and torch at the end."""
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
