# Copyright (c) mmdckd contributors. All rights reserved.
"""An output that never ends the program."""

import contextlib
from typing import IO, Any, Optional


class TolerantOutput:
    """Writes to a stream as far as possible.

    Characters that the stream cannot encode are escaped. If its terminal has been
    closed, or the reader of a pipe is gone, nothing is written.

    Args:
        stream (IO, optional): The stream; None, which Python has for a closed one,
            takes no text.
    """

    def __init__(self, stream: Optional[IO[str]]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        if self._stream is None:
            return len(text)
        encoding = getattr(self._stream, 'encoding', None) or 'utf-8'
        with contextlib.suppress(OSError):
            self._stream.write(
                text.encode(encoding, 'backslashreplace').decode(encoding)
            )
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
