# Copyright (c) mmdckd contributors. All rights reserved.
"""Time functions to compare, in rounds in which they alternate.

On the CPU, the processor time of the process is measured: it equals the wall time
on an idle machine, and is nearly the same on a busy one. On a GPU, it is the wall
time after synchronizing the device.
"""

import json
import statistics
import time
from typing import Callable, Dict, List

import torch


def now(device: str = 'cpu') -> float:
    """Return the time in seconds.

    Args:
        device (str): 'cpu' or 'cuda'. Defaults to 'cpu'.
    """
    if device == 'cpu':
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def alternate(
    ways: Dict[str, Callable[[], None]],
    rounds: int,
    warm_up: int = 1,
    device: str = 'cpu',
) -> Dict[str, List[float]]:
    """Time functions one after the other, round by round.

    Every other round runs in reverse order, so that no function always follows
    the same one.

    Args:
        ways (Dict[str, Callable]): Name to function, called once a round.
        rounds (int): The number of rounds.
        warm_up (int): The number of earlier rounds that are not timed. Defaults
            to 1.
        device (str): 'cpu' or 'cuda'. Defaults to 'cpu'.

    Returns:
        Dict[str, List[float]]: Name to the seconds of each round.
    """
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    for number in range(warm_up + rounds):
        for name in sorted(ways, reverse=number % 2 == 1):
            start = now(device)
            ways[name]()
            if number >= warm_up:
                seconds[name].append(now(device) - start)
    return seconds


def milliseconds(seconds: List[float]) -> float:
    """Return the median in milliseconds."""
    return round(1e3 * statistics.median(seconds), 3)


def ratio(seconds: List[float], others: List[float]) -> float:
    """Return the median of the ratios of the rounds."""
    return round(statistics.median(a / b for a, b in zip(seconds, others)), 4)


def append_json(path: str, result: dict) -> None:
    """Add a line of JSON to a file.

    Args:
        path (str): The file.
        result (dict): The measurements.
    """
    with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(result) + '\n')
