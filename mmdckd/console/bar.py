# Copyright (c) mmdckd contributors. All rights reserved.
import os
import time
from typing import TYPE_CHECKING, Optional, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """Shows a progress bar in the last line of a terminal; nothing elsewhere.

    It is drawn only when it is updated, without a thread, so that a forked
    worker does not inherit a thread that draws.

    Args:
        stream (TextIO): The output.
    """

    #: The shortest time between two updates, in seconds.
    INTERVAL = 0.2

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty() and os.environ.get('TERM') != 'dumb'
        self._progress: Optional[Progress] = None
        self._next = 0.0

    def show(self, text: str, done: int, total: int, note: str) -> None:
        """Draw the bar.

        Args:
            text (str): The name of the task.
            done (int): The number of steps done.
            total (int): The number of all steps.
            note (str): A note to the right of the bar.
        """
        if not self._is_terminal:
            return
        if self._progress is None:
            self._progress = self._make()
        task = self._progress.task_ids[0]
        self._progress.update(
            task, description=text, completed=done, total=total, note=note
        )
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self.INTERVAL
            self._progress.refresh()

    def hide(self) -> None:
        """Remove the bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def print_above(self, text: str) -> None:
        """Print lines, above the bar if there is one.

        Args:
            text (str): The lines.
        """
        if self._progress is None:
            self._stream.write(f'{text}\n')
            self._stream.flush()
            return
        from rich.text import Text

        self._progress.console.print(Text(text))

    def _make(self) -> 'Progress':
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        progress = Progress(
            TextColumn('{task.description}', markup=False),
            BarColumn(),
            TextColumn('{task.completed}/{task.total}', markup=False),
            TextColumn('{task.fields[note]}', markup=False),
            console=Console(file=self._stream, highlight=False, soft_wrap=True),
            transient=True,
            auto_refresh=False,
        )
        progress.add_task('', total=1, note='')
        progress.start()
        return progress
