# Copyright (c) mmdckd contributors. All rights reserved.
"""Times things that are compared, in rounds in which they alternate.

On the CPU what counts is the time that the process was running: it is that of
the clock on a machine that does nothing else, and nearly the same on one that
does. On a GPU it is the time of the clock, when the device is done.
"""

import json
import statistics
import time
from typing import Callable, Dict, List

import torch


def now(device: str = 'cpu') -> float:
    """The time in seconds.

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
    """Time some things, one after the other, round by round.

    Every other round goes backwards, so that none always follows the same.

    Args:
        ways (Dict[str, Callable]): Name to what is timed; called once a
            round.
        rounds (int): How many rounds.
        warm_up (int): How many rounds before that are not timed. Defaults to
            1.
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
    """The median, in milliseconds."""
    return round(1e3 * statistics.median(seconds), 3)


def ratio(seconds: List[float], others: List[float]) -> float:
    """The median of the ratios of the rounds."""
    return round(statistics.median(a / b for a, b in zip(seconds, others)), 4)


def append_json(path: str, result: dict) -> None:
    """Add a line of JSON to a file.

    Args:
        path (str): The file.
        result (dict): What was measured.
    """
    with open(path, 'a', encoding='utf-8') as file:
        file.write(json.dumps(result) + '\n')
