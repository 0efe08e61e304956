# Copyright (c) mmdckd contributors. All rights reserved.
import io
from contextlib import redirect_stdout
from typing import Type

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from mmdckd.console.calm_console import CalmConsole


class _ConsoleRunner:
    """Passes its logger to a console before anything is logged."""

    console: CalmConsole
    logger: MMLogger

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """See ``Runner``."""
        logger = super().build_logger(*args, **kwargs)  # type: ignore[misc]
        self.console.attach(logger)
        return logger

    def load_checkpoint(self, *args, **kwargs) -> dict:
        """Log what MMEngine would print; see ``Runner``."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            checkpoint = super().load_checkpoint(  # type: ignore[misc]
                *args, **kwargs
            )
        for line in printed.getvalue().splitlines():
            self.logger.info(line)
        return checkpoint


def with_console(kind: Type[Runner], console: CalmConsole) -> Type[Runner]:
    """Make a runner class that leaves the console to mmdckd.

    Args:
        kind (type): MMEngine's ``Runner`` or a subclass.
        console (CalmConsole): The console.

    Returns:
        type: The class, with the name of ``kind``. Its log files are the same.
    """
    return type(kind.__name__, (_ConsoleRunner, kind), dict(console=console))
