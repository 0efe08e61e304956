# Copyright (c) mmdckd contributors. All rights reserved.
"""Show the progress of a running sweep."""

import sys
from typing import IO, Dict, Optional, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from mmdckd.console.calm_console import print_line
from mmdckd.console.duration import duration
from mmdckd.console.tolerant import TolerantOutput

from .plan import Run
from .scheduler import Scheduler


class Display:
    """Shows a bar for all runs, a bar for each active run, and a line for each
    run that has ended; only the lines if the output is not a terminal.

    Args:
        total (int): The number of runs.
    """

    def __init__(self, total: int) -> None:
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        self.console = Console(
            # With FORCE_COLOR, Rich takes a pipe for a terminal.
            force_terminal=None if is_terminal else False,
            highlight=False,
            soft_wrap=True,
        )
        # A sweep of days outlives the terminal that it was started in.
        self.console.file = cast(IO[str], TolerantOutput(self.console.file))
        self.total = total
        self.ended = 0
        self._bars = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            TextColumn('{task.percentage:>3.0f} %  {task.fields[note]}'),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._all = self._bars.add_task('all runs', total=total, note='')
        self._tasks: Dict[Run, TaskID] = {}

    def __enter__(self) -> 'Display':
        self._bars.start()
        return self

    def __exit__(self, *args) -> None:
        self._bars.stop()

    def update(self, scheduler: Scheduler) -> None:
        """Update the bars."""
        running = {process.run: process for process in scheduler.running}
        for run in set(self._tasks) - set(running):
            self._bars.remove_task(self._tasks.pop(run))
        for run, process in running.items():
            if run not in self._tasks:
                self._tasks[run] = self._bars.add_task(str(run), total=1, note='')
            self._bars.update(
                self._tasks[run], completed=process.part, note=duration(process.seconds)
            )
        left = scheduler.seconds_left() if scheduler.busy else None
        self._bars.update(
            self._all,
            completed=self.ended + sum(p.part for p in running.values()),
            note='' if left is None else f'{duration(left)} left',
        )

    def end(self, run: Run, text: str, left: Optional[float]) -> None:
        """Print that a run has ended.

        Args:
            run (Run): The run.
            text (str): The outcome.
            left (float, optional): The estimated remaining time in seconds.
        """
        self.ended += 1
        note = '' if left is None else f'; {duration(left)} left'
        line = f'[{self.ended}/{self.total}] {run}: {text}{note}'
        if self.console.is_terminal:
            self.console.print(Text(line))  # above the bars
        else:
            print_line(line)
