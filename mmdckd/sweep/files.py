# Copyright (c) mmdckd contributors. All rights reserved.
"""Write files that stay valid whenever the process is killed."""

import contextlib
import math
import os
import pprint
from typing import Any, BinaryIO, Iterator

from mmengine.config import Config

from mmdckd.io.files import write_text

try:
    import fcntl
except ModuleNotFoundError:  # on Windows
    fcntl = None  # type: ignore[assignment]


def append_line(path: str, line: str) -> None:
    """Append a line and flush it to the disk.

    An incomplete last line, left by a killed process, is removed first. So is the new
    line if it cannot be flushed, so that it can be appended again. Other processes that
    append, such as a sweep with another work folder, wait meanwhile.

    Args:
        path (str): The file, created if needed.
        line (str): The line, without the newline.

    Raises:
        OSError: If the line cannot be written.
    """
    with open(path, 'a+b') as file, _locked(file):
        file.seek(0)
        end = file.seek(len(whole_lines(file.read())))
        file.truncate()
        file.write(line.encode() + b'\n')
        try:
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise


@contextlib.contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Lock a file itself, where the system can: no other file is left beside it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_UN)


def whole_lines(content: bytes) -> bytes:
    """Return the content up to the end of the last complete line."""
    return content[: content.rfind(b'\n') + 1]


def write_config(path: str, cfg: Config) -> None:
    """Write a config so that reading it returns the same config.

    ``Config.dump`` writes infinite numbers as names, which cannot be read back.

    Args:
        path (str): The file, a .py.
        cfg (Config): The config.
    """
    write_text(
        path,
        '\n'.join(
            f'{key} = {pprint.pformat(_readable(value), sort_dicts=False)}'
            for key, value in cfg.to_dict().items()
        )
        + '\n',
    )


def _readable(value: Any) -> Any:
    """Return a value in whose text each number can be read back."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_readable, value))
    if isinstance(value, float) and not math.isfinite(value):
        return _NotFinite(value)
    return value


class _NotFinite(float):
    """An infinite number or NaN, whose plain text would be a name: inf."""

    def __repr__(self) -> str:
        return f"float('{float(self)}')"
