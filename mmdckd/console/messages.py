# Copyright (c) mmdckd contributors. All rights reserved.
"""Log messages for people who watch a run.

They go to MMEngine's logger like any other, with a mark that the console of a
command recognizes (:class:`~mmdckd.console.calm_console.CalmConsole`); messages
of other packages go only to the log file.
"""

from logging import Logger, LogRecord
from typing import Optional

#: The mark of a record, in logging's ``extra``.
_MARK = dict(for_console=True)


def tell(message: str, logger: Optional[Logger] = None) -> None:
    """Log information for a person who watches a run.

    Args:
        message (str): The message.
        logger (Logger, optional): The logger. Defaults to None: MMEngine's
            current one.
    """
    (logger or _current()).info(message, extra=_MARK)


def warn(message: str, logger: Optional[Logger] = None) -> None:
    """Log a warning for a person who watches a run.

    Args:
        message (str): The message.
        logger (Logger, optional): The logger. Defaults to None: MMEngine's
            current one.
    """
    (logger or _current()).warning(message, extra=_MARK)


def is_for_console(record: LogRecord) -> bool:
    """Tell whether a record comes from :func:`tell` or :func:`warn`."""
    return getattr(record, 'for_console', False)


def _current() -> Logger:
    from mmengine.logging import MMLogger

    return MMLogger.get_current_instance()
