# Copyright (c) mmdckd contributors. All rights reserved.
"""Count the events of a training, and kill it at one of them."""

import os
import random
import signal
from collections import Counter
from typing import Any, Optional, Tuple

from mmengine.hooks import Hook


class Events(Hook):
    """Counts the events of a training, and kills it at one of them.

    Args:
        work_dir (str): The work folder; other files do not count.
        fatal (tuple[str, int], optional): The event at which to die, and its
            number, counted from 1. None means never.
    """

    priority = 'LOWEST'

    def __init__(self, work_dir: str, fatal: Optional[Tuple[str, int]]):
        self.work_dir = work_dir
        self.fatal = fatal
        self.counts: Counter = Counter()

    def before_val_iter(self, *args, **kwargs) -> None:
        if self.happens('validation'):
            self.die()

    def happens(self, event: str) -> bool:
        """Count an event, and tell whether it is the fatal one."""
        self.counts[event] += 1
        return self.fatal == (event, self.counts[event])

    @staticmethod
    def die() -> None:
        os.killpg(0, signal.SIGKILL)

    def audit(self, name: str, args: tuple) -> None:
        """Count an operation on a file; Python calls this audit hook before it."""
        if name not in ('os.rename', 'os.link', 'os.remove'):
            return
        if not str(args[0]).startswith(self.work_dir):
            return
        if name == 'os.rename' and f'{os.sep}export{os.sep}' in str(args[0]):
            name = 'os.export'
        if self.happens(name[3:]):
            self.die()

    def open(self, path: str, mode: str = 'r', **kwargs) -> Any:
        """Open a file; a fatal write stops halfway."""
        file = open(path, mode, **kwargs)
        if 'w' in mode and str(path).startswith(self.work_dir):
            write = file.write
            return _Writing(file, lambda content: self.write(file, write, content))
        return file

    def write(self, file: Any, write: Any, content: Any) -> None:
        if self.happens('write'):
            write(content[: random.randrange(len(content) or 1)])
            file.flush()
            self.die()
        write(content)


class _Writing:
    """A file with a replaced ``write``."""

    def __init__(self, file: Any, write: Any) -> None:
        self.file = file
        self.write = write

    def __enter__(self) -> '_Writing':
        return self

    def __exit__(self, *error) -> None:
        self.file.close()
