# Copyright (c) mmdckd contributors. All rights reserved.
import time
from typing import Callable, Optional


class Pace:
    """Decides when to print progress, and estimates the remaining time.

    A line is due after the first step, and then after a tenth of all steps or
    :attr:`SECONDS`, whichever comes first. So a short task prints ten lines,
    and a long one prints a line every ten seconds.

    Args:
        total (int): The number of all steps.
        done (int): The number of steps done before. Defaults to 0.
        lines (int): The smallest number of lines; with 0, there is only one
            every :attr:`SECONDS`. Defaults to 10.
        clock (Callable): Returns the time in seconds. Defaults to
            ``time.monotonic``.
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
        """Record the number of steps done.

        Args:
            done (int): The number of steps.

        Returns:
            int: If a line is due, the number of steps since the last one;
            otherwise 0.
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
        """float, optional: The estimated remaining time in seconds; None after a
        single step, which takes longer than others."""
        count = self.done - self._first
        if count < 2:
            return None
        return self.seconds / count * (self.total - self.done)
