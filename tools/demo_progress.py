# Copyright (c) mmdckd contributors. All rights reserved.
"""How far the demo is."""

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from mmdckd.sweep.display import duration

#: Step to what is going on and how many seconds it is thought to take.
STEPS = dict(
    teacher=('the teacher learns', 50),
    cohort=('four students learn from it and from each other', 90),
    test=('all are tested', 9),
    export=('the best student is exported', 9),
    classify=('MMPretrain classifies with it', 3),
)


class Watch:
    """Shows what is being done and about how long the rest will take.

    On a terminal there is a bar; elsewhere, a line for every tenth.

    Args:
        console (Console): Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = sum(seconds for _, seconds in STEPS.values())
        self._start = time.monotonic()
        self._tenth = -1
        self._bar = Progress(
            BarColumn(20),
            TextColumn('{task.percentage:>3.0f} %  {task.description}'),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task('', total=self._total)

    def __enter__(self) -> 'Watch':
        self._bar.start()
        return self

    def __exit__(self, *args) -> None:
        self._bar.stop()

    @property
    def elapsed(self) -> float:
        """float: Seconds since the start."""
        return time.monotonic() - self._start

    def update(self, step: str, part: float = 0.0, note: str = '') -> None:
        """Show that a step is done in part, from 0 to 1."""
        text, seconds = STEPS[step]
        before = list(STEPS)[: list(STEPS).index(step)]
        done = part * seconds + sum(STEPS[name][1] for name in before)
        # As fast as was thought, at first; as fast as it has been, later.
        left = (self._total - done) * (self.elapsed + 20) / (done + 20)
        text = f'{text}{note}; about {duration(5 * round(left / 5))} left'
        self._bar.update(self._task, completed=done, description=text)
        tenth = int(10 * done / self._total)
        if not self._console.is_terminal and tenth > self._tenth:
            self._tenth = tenth
            self._console.print(f'{10 * tenth:3d} %  {text}')
