# Copyright (c) mmdckd contributors. All rights reserved.
"""Show only mmdckd's messages on the console of a command."""

import functools
import logging
import os
import sys
import warnings
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from typing import Any, Callable, Iterator, List, Optional, TextIO, Tuple, TypeVar, cast

from .bar import Bar
from .messages import is_for_console
from .tolerant import TolerantOutput

Function = TypeVar('Function', bound=Callable[..., Any])

_current: Optional['CalmConsole'] = None


@contextmanager
def open_console(verbose: bool = False) -> Iterator[Optional['CalmConsole']]:
    """Keep the output of other packages off the console.

    Python's warnings and log records go to the log file of the run instead;
    earlier ones are written as soon as the file exists. Errors and printed
    output stay on the console.

    Args:
        verbose (bool): Whether to change nothing. Defaults to False.

    Yields:
        CalmConsole or None: The console, which may already be open; None if
        ``verbose``.
    """
    global _current
    if verbose or _current is not None:
        yield None if verbose else _current
        return
    _current = CalmConsole()
    try:
        with warnings.catch_warnings():
            yield _current.open()
    finally:
        _current.close()
        _current = None


def current_console() -> Optional['CalmConsole']:
    """Return the open console; None if the output is not filtered."""
    return _current


def print_line(text: str) -> None:
    """Print lines to the open console, or to the standard output if none is open.

    Unlike with ``print``, characters that the output cannot encode are escaped, and
    a reader of a pipe that is gone is no error.
    """
    (_current or CalmConsole()).say(text)


def on_console(function: Function) -> Function:
    """Decorate a function to run with an open console, unless it is called with
    ``verbose=True``."""

    @functools.wraps(function)
    def call(*args: Any, verbose: bool = False, **kwargs: Any) -> Any:
        with open_console(verbose):
            return function(*args, verbose=verbose, **kwargs)

    return cast(Function, call)


class CalmConsole:
    """A console with plain lines and, on a terminal, a progress bar below them.

    Args:
        stream (TextIO, optional): Where to write. Defaults to None: the
            standard output.
    """

    def __init__(self, stream: Optional[TextIO] = None) -> None:
        self._bar = Bar(cast(TextIO, TolerantOutput(stream or sys.stdout)))
        # Records for the log file, kept until it exists.
        self._to_file = MemoryHandler(1, logging.NOTSET)
        self._replaced: List[Tuple[logging.Logger, List[logging.Handler]]] = []
        self._silent = _is_not_first()

    def open(self) -> 'CalmConsole':
        """Redirect the warnings and loggers of this process."""
        warnings.showwarning = self._keep_warning
        from mmengine.logging import MMLogger

        self._take_over(MMLogger.get_current_instance(), self._to_file)
        root = logging.getLogger()
        self._replaced.append((root, list(root.handlers)))
        self._to_file.setLevel(logging.WARNING)
        root.addHandler(self._to_file)
        return self

    def close(self) -> None:
        """Undo the redirections of :meth:`open` and :meth:`attach`."""
        self.hide_bar()
        for logger, handlers in reversed(self._replaced):
            logger.handlers[:] = handlers
        self._replaced = []

    def attach(self, logger: logging.Logger) -> None:
        """Filter the console output of a run's logger, and write earlier records
        to its file.

        Args:
            logger (Logger): MMEngine's logger.
        """
        self._silent = self._silent or _is_not_first()
        self._take_over(logger)
        files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
        self._to_file.setTarget(files[0] if files else logging.NullHandler())
        self._to_file.flush()

    def say(self, text: str) -> None:
        """Write lines."""
        if not self._silent:
            self._bar.print_above(text)

    def show_bar(self, text: str, done: int, total: int, note: str) -> None:
        """Show progress, if the output is a terminal.

        Args:
            text (str): The name of the task.
            done (int): The number of steps done.
            total (int): The number of all steps.
            note (str): A note to the right of the bar.
        """
        if not self._silent:
            self._bar.show(text, done, total, note)

    def hide_bar(self) -> None:
        """Remove the bar until it is shown again."""
        self._bar.hide()

    def _take_over(self, logger: logging.Logger, *more: logging.Handler) -> None:
        """Replace the handlers that write to the console."""
        self._replaced.append((logger, list(logger.handlers)))
        kept: List[logging.Handler] = [*more]
        for handler in self._replaced[-1][1]:
            if _writes_to_console(handler) and handler.level < logging.ERROR:
                handler = _CalmHandler(self, handler)
            kept.append(handler)
        logger.handlers[:] = kept

    def _keep_warning(
        self,
        message: Any,
        category: Any,
        filename: str,
        lineno: int,
        file: Optional[TextIO] = None,
        line: Optional[str] = None,
    ) -> None:
        """Log a warning of Python instead of printing it."""
        text = warnings.formatwarning(message, category, filename, lineno, line)
        self._to_file.handle(
            logging.LogRecord(
                'py.warnings', logging.WARNING, filename, lineno, text, None, None
            )
        )


def _is_not_first() -> bool:
    """Tell whether another process of the same run writes the output."""
    return os.environ.get('RANK', '0') != '0'


def _writes_to_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and not isinstance(
        handler, logging.FileHandler
    )


class _CalmHandler(logging.Handler):
    """Writes records for the console, and errors.

    Args:
        console (CalmConsole): The console to write to.
        replaced (logging.Handler): The handler to replace; its level and
            filters are kept.
    """

    def __init__(self, console: CalmConsole, replaced: logging.Handler) -> None:
        super().__init__(replaced.level)
        self._console = console
        for each in replaced.filters:
            self.addFilter(each)

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        if record.levelno >= logging.ERROR or is_for_console(record):
            prefix = ''
            if record.levelno >= logging.WARNING:
                prefix = f'{record.levelname.lower()}: '
            self._console.say(prefix + record.getMessage())
