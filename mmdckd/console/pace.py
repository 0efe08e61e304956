# Copyright (c) mmdckd contributors. All rights reserved.
import time
from typing import Callable, Optional


class Pace:
    """When to say how far something is, and how long the rest will take.

    A line is due after the first step, then after each tenth of all steps or
    :attr:`SECONDS`, whichever is first: what takes a moment has ten lines, and
    what takes hours one each ten seconds.

    Args:
        total (int): How many steps there are.
        done (int): How many of them were done before. Defaults to 0.
        lines (int): How many lines there are at least; 0: only one each
            :attr:`SECONDS`. Defaults to 10.
        clock (Callable): The time in seconds. Defaults to ``time.monotonic``.
    """

    SECONDS = 10.0

    def __init__(
        self,
        total: int,
        done: int = 0,
        lines: int = 10,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.done = done
        # The number of steps after which a line is due.
        self._every = max(1, total // lines) if lines else total + 1
        self._due = done + 1 if lines else total + 1
        self._clock = clock
        self._first = self._said = done
        self._start = self._said_at = clock()

    def step(self, done: int) -> int:
        """Note how many steps are done.

        Args:
            done (int): How many.

        Returns:
            int: Where a line is due, how many steps it is about; 0 otherwise.
        """
        self.done = done
        now = self._clock()
        if done < self._due and now - self._said_at < self.SECONDS:
            return 0
        since = done - self._said
        self._said, self._said_at, self._due = done, now, done + self._every
        return since

    @property
    def seconds(self) -> float:
        """float: The time since the start."""
        return self._clock() - self._start

    @property
    def seconds_left(self) -> Optional[float]:
        """float or None: The time that the rest takes at the pace so far; None
        after a single step, which takes longer than others."""
        count = self.done - self._first
        if count < 2:
            return None
        return self.seconds / count * (self.total - self.done)
