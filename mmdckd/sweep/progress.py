# Copyright (c) mmdckd contributors. All rights reserved.
"""Track the progress of runs and estimate the remaining time."""

import contextlib
import os.path as osp
import time
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.hooks import Hook

from mmdckd.io.files import write_text


class ProgressFileHook(Hook):
    """Writes the progress of a run and the remaining time to a file.

    Training goes on if the file cannot be written, as on a full disk.

    Args:
        path (str): The file.
        interval (float): Seconds between two updates. Defaults to 1.
        before (float): The part of the run that earlier phases take, from 0 to 1.
            Defaults to 0.
        share (float): The part of the run that this training takes. Defaults to 1.
    """

    def __init__(
        self, path: str, interval: float = 1.0, before: float = 0.0, share: float = 1.0
    ) -> None:
        self.path = path
        self.interval = interval
        self.before = before
        self.share = share

    def before_train(self, runner) -> None:
        """Record the first iteration, which may be that of a checkpoint."""
        self._start = self._next = time.monotonic()
        self._first = runner.iter

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Write the progress and the remaining seconds."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.interval
            done = runner.iter + 1
            pace = (now - self._start) / (done - self._first)
            # The iterations of all phases, if they take as long in each.
            total = runner.max_iters / self.share
            part = self.before + done / total
            left = pace * (total - self.before * total - done)
            with contextlib.suppress(OSError):
                write_text(self.path, f'{part} {left}')


def read_progress(path: str) -> Tuple[float, Optional[float]]:
    """Read a file of :class:`ProgressFileHook`.

    Returns:
        tuple: The progress, from 0 to 1, and the estimated remaining seconds; 0
        and None if nothing has been written yet.
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
    """Estimate the remaining time of all runs.

    The estimate for a run is the mean duration of the finished runs of the same
    name; if there are none, that of the active ones; and for an unknown name,
    the mean of all names.

    Args:
        waiting (Sequence[str]): The names of the runs to start.
        running (Sequence[tuple]): Name, elapsed seconds and remaining seconds
            of each active run; the latter is None before training starts.
        durations (Dict[str, List[float]]): Name to the durations of its
            finished runs, in seconds.
        slots (int): The number of parallel runs.

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
