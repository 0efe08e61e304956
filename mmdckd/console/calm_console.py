# Copyright (c) mmdckd contributors. All rights reserved.
"""The console of a command: what mmdckd says, and nothing else."""

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

Function = TypeVar('Function', bound=Callable[..., Any])

_current: Optional['CalmConsole'] = None


@contextmanager
def open_console(verbose: bool = False) -> Iterator[Optional['CalmConsole']]:
    """Keep the output of other packages off the console.

    Python's warnings and the records of loggers go to the log file of the run
    instead, those before it exists as soon as it does. Errors remain, and so
    does what is printed.

    Args:
        verbose (bool): Whether to change nothing. Defaults to False.

    Yields:
        CalmConsole or None: The console, the one that is open already where
        there is one; None if ``verbose``.
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
    """The console that is open; None where the output is every package's."""
    return _current


def on_console(function: Function) -> Function:
    """Open a console for each call of a function, unless it is called with
    ``verbose=True``."""

    @functools.wraps(function)
    def call(*args: Any, verbose: bool = False, **kwargs: Any) -> Any:
        with open_console(verbose):
            return function(*args, verbose=verbose, **kwargs)

    return cast(Function, call)


class CalmConsole:
    """A console that has plain lines and, on a terminal, a bar below them.

    Args:
        stream (TextIO, optional): Where to write. Defaults to None, the
            standard output.
    """

    def __init__(self, stream: Optional[TextIO] = None) -> None:
        self._stream = stream or sys.stdout
        self._bar = Bar(self._stream)
        # What is for the log file, kept until there is one.
        self._to_file = MemoryHandler(1, logging.NOTSET)
        self._replaced: List[Tuple[logging.Logger, List[logging.Handler]]] = []
        self._silent = _is_not_first()

    def open(self) -> 'CalmConsole':
        """Take over the warnings and loggers of this process."""
        warnings.showwarning = self._keep_warning
        from mmengine.logging import MMLogger

        self._take_over(MMLogger.get_current_instance(), self._to_file)
        root = logging.getLogger()
        self._replaced.append((root, list(root.handlers)))
        self._to_file.setLevel(logging.WARNING)
        root.addHandler(self._to_file)
        return self

    def close(self) -> None:
        """Give back what :meth:`open` and :meth:`attach` took over."""
        self.hide_bar()
        for logger, handlers in reversed(self._replaced):
            logger.handlers[:] = handlers
        self._replaced = []

    def attach(self, logger: logging.Logger) -> None:
        """Let the logger of a run write to its file alone what is not for
        the console, and to that file what came before.

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
        encoding = getattr(self._stream, 'encoding', None) or 'utf-8'
        text = text.encode(encoding, 'backslashreplace').decode(encoding)
        self._write(lambda: self._bar.print_above(text))

    def show_bar(self, text: str, done: int, total: int, note: str) -> None:
        """Show how far something is, where the output is a terminal.

        Args:
            text (str): What it is.
            done (int): How much of it is done.
            total (int): How much there is.
            note (str): What else to say.
        """
        self._write(lambda: self._bar.show(text, done, total, note))

    def hide_bar(self) -> None:
        """Remove the bar until it is shown again."""
        self._write(self._bar.hide)

    def _write(self, write: Callable[[], None]) -> None:
        if self._silent:
            return
        try:
            write()
        except OSError:
            # Whoever has read this is gone; the run goes on.
            self._silent = True

    def _take_over(self, logger: logging.Logger, *more: logging.Handler) -> None:
        """Put a calm handler in the place of those that write to the console."""
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
        """Log a warning of Python's in place of printing it."""
        text = warnings.formatwarning(message, category, filename, lineno, line)
        self._to_file.handle(
            logging.LogRecord(
                'py.warnings', logging.WARNING, filename, lineno, text, None, None
            )
        )


def _is_not_first() -> bool:
    """Whether another process of the same run speaks for all."""
    return os.environ.get('RANK', '0') != '0'


def _writes_to_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and not isinstance(
        handler, logging.FileHandler
    )


class _CalmHandler(logging.Handler):
    """Says what is for the console, and errors.

    Args:
        console (CalmConsole): Where to say it.
        replaced (logging.Handler): The handler that it takes the place of,
            whose level and filters it has.
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
