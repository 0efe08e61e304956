# Copyright (c) mmdckd contributors. All rights reserved.
"""How far runs are, and how long the rest will take."""
import os.path as osp
import time
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.hooks import Hook

from .files import write_whole


class ProgressFileHook(Hook):
    """Writes to a file which part of the training is done.

    Args:
        path (str): The file.
        interval (float): Seconds between two updates. Defaults to 1.
    """

    def __init__(self, path: str, interval: float = 1.) -> None:
        self.path = path
        self.interval = interval
        self._next = 0.

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Write the part that is done."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.interval
            write_whole(self.path, f'{(runner.iter + 1) / runner.max_iters}')


def read_progress(path: str) -> float:
    """The part that is done, from 0 to 1; 0 where nothing is written yet."""
    if not osp.isfile(path):
        return 0.
    with open(path, encoding='utf-8') as file:
        return float(file.read())


def seconds_left(waiting: Sequence[str], running: Sequence[Tuple[str, float,
                                                                 float]],
                 durations: Dict[str,
                                 List[float]], slots: int) -> Optional[float]:
    """Estimate how long the rest of the runs will take.

    A run takes as long as the others of its name took on average or, where
    none is finished, as those that are under way promise; a name that nothing
    is known of takes as long as the average of the others.

    Args:
        waiting (Sequence[str]): The names of the runs to start.
        running (Sequence[Tuple[str, float, float]]): Name, seconds so far and
            part that is done of each run under way.
        durations (Dict[str, List[float]]): Name to the seconds that its
            finished runs took.
        slots (int): How many runs are under way at a time.

    Returns:
        float, optional: Seconds; None while nothing is known.
    """
    known = {name: list(times) for name, times in durations.items() if times}
    promised: Dict[str, List[float]] = {}
    for name, seconds, part in running:
        if part > 0 and name not in known:
            promised.setdefault(name, []).append(seconds / part)
    known.update(promised)
    if not known:
        return None
    typical = {name: sum(times) / len(times) for name, times in known.items()}
    average = sum(typical.values()) / len(typical)
    rest = []
    for name, seconds, part in running:
        whole = seconds / part if part > 0 else typical.get(name, average)
        rest.append(max(whole - seconds, 0.))
    rest += [typical.get(name, average) for name in waiting]
    return max(sum(rest) / slots, max(rest, default=0.))
