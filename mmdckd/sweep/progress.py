# Copyright (c) mmdckd contributors. All rights reserved.
"""How far runs are, and how long the rest will take."""

import os.path as osp
import time
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.hooks import Hook

from mmdckd.io.files import write_text


class ProgressFileHook(Hook):
    """Writes to a file which part of the training is done, and what is left.

    Args:
        path (str): The file.
        interval (float): Seconds between two updates. Defaults to 1.
    """

    def __init__(self, path: str, interval: float = 1.0) -> None:
        self.path = path
        self.interval = interval

    def before_train(self, runner) -> None:
        """Remember where the training begins, which may be a checkpoint."""
        self._start = self._next = time.monotonic()
        self._first = runner.iter

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Write the part that is done, and the seconds that the rest takes."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.interval
            done = runner.iter + 1
            pace = (now - self._start) / (done - self._first)
            write_text(
                self.path,
                f'{done / runner.max_iters} {pace * (runner.max_iters - done)}',
            )


def read_progress(path: str) -> Tuple[float, Optional[float]]:
    """What :class:`ProgressFileHook` wrote.

    Returns:
        tuple: The part that is done, from 0 to 1, and the seconds that the
        rest of the training takes at the pace of what is done; 0 and None
        where nothing is written yet.
    """
    if not osp.isfile(path):
        return 0.0, None
    with open(path, encoding='utf-8') as file:
        part, left = map(float, file.read().split())
    return part, left


def seconds_left(
    waiting: Sequence[str],
    running: Sequence[Tuple[str, float, Optional[float]]],
    durations: Dict[str, List[float]],
    slots: int,
) -> Optional[float]:
    """Estimate how long the rest of the runs will take.

    A run takes as long as the others of its name took on average or, where
    none is finished, as those that are under way promise; a name that nothing
    is known of takes as long as the average of the others.

    Args:
        waiting (Sequence[str]): The names of the runs to start.
        running (Sequence[tuple]): Name, seconds so far and seconds left, None
            where it has not begun to train, of each run under way.
        durations (Dict[str, List[float]]): Name to the seconds that its
            finished runs took.
        slots (int): How many runs are under way at a time.

    Returns:
        float, optional: Seconds; None while nothing is known.
    """
    known = {name: list(times) for name, times in durations.items() if times}
    promised: Dict[str, List[float]] = {}
    for name, seconds, left in running:
        if left is not None and name not in known:
            promised.setdefault(name, []).append(seconds + left)
    known.update(promised)
    if not known:
        return None
    typical = {name: sum(times) / len(times) for name, times in known.items()}
    average = sum(typical.values()) / len(typical)
    rest = []
    for name, seconds, left in running:
        if left is None:
            left = max(typical.get(name, average) - seconds, 0.0)
        rest.append(left)
    rest += [typical.get(name, average) for name in waiting]
    return max(sum(rest) / slots, max(rest, default=0.0))
