# Copyright (c) mmdckd contributors. All rights reserved.
"""Messages for a person who watches a run.

They go to MMEngine's logger as any other, with a mark by which the console of
a command knows them (:class:`~mmdckd.console.calm_console.CalmConsole`): it
leaves the messages of other packages to the log file.
"""

from logging import Logger, LogRecord
from typing import Optional

#: The attribute of a record that marks it, as logging's ``extra``.
_MARK = dict(for_console=True)


def tell(message: str, logger: Optional[Logger] = None) -> None:
    """Log something that a person who watches a run should know.

    Args:
        message (str): What to say.
        logger (Logger, optional): Defaults to None, MMEngine's current one.
    """
    (logger or _current()).info(message, extra=_MARK)


def warn(message: str, logger: Optional[Logger] = None) -> None:
    """Log a warning that says what to do.

    Args:
        message (str): What to say.
        logger (Logger, optional): Defaults to None, MMEngine's current one.
    """
    (logger or _current()).warning(message, extra=_MARK)


def is_for_console(record: LogRecord) -> bool:
    """Whether a record comes from :func:`tell` or :func:`warn`."""
    return getattr(record, 'for_console', False)


def _current() -> Logger:
    from mmengine.logging import MMLogger

    return MMLogger.get_current_instance()
