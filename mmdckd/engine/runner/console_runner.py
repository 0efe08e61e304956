# Copyright (c) mmdckd contributors. All rights reserved.
import io
from contextlib import redirect_stdout
from typing import Type

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mmdckd.console.calm_console import CalmConsole


class _ConsoleRunner:
    """Hands its logger to a console before anything is logged."""

    console: CalmConsole
    logger: MMLogger

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """See ``Runner``."""
        logger = super().build_logger(*args, **kwargs)  # type: ignore[misc]
        self.console.attach(logger)
        return logger

    def load_checkpoint(self, *args, **kwargs) -> dict:
        """Log what MMEngine prints of it; see ``Runner``."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            checkpoint = super().load_checkpoint(  # type: ignore[misc]
                *args, **kwargs
            )
        for line in printed.getvalue().splitlines():
            self.logger.info(line)
        return checkpoint


def with_console(kind: Type[Runner], console: CalmConsole) -> Type[Runner]:
    """Make a class of runners that leave the console to mmdckd.

    Args:
        kind (type): MMEngine's ``Runner`` or a class of one's own.
        console (CalmConsole): The console.

    Returns:
        type: The class, by the name of ``kind``. Its log files are the same.
    """
    return type(kind.__name__, (_ConsoleRunner, kind), dict(console=console))
