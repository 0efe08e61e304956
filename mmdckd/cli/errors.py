# Copyright (c) mmdckd contributors. All rights reserved.
"""How a command that fails exits: with one line, and the traceback in a file."""

import os
import os.path as osp
import signal
import sys
import tempfile
import traceback
from contextlib import contextmanager
from typing import Iterator, Optional

_LONGEST_MESSAGE = 1500

#: Errors that the user can fix: the message says it all.
EXPECTED = (FileNotFoundError, ModuleNotFoundError, ValueError)


@contextmanager
def one_error_line(folder: Optional[str] = None) -> Iterator[None]:
    """Exit with one line if something fails, or on Ctrl-C.

    For an error that is none of :data:`EXPECTED`, the line includes the type of
    the error, and a second line names the file with the traceback.

    Args:
        folder (str, optional): The folder of the traceback file. Defaults to
            None, which means the folder for temporary files.
    """
    try:
        yield
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
    except EXPECTED as error:
        raise SystemExit(f'error: {message_of(error)}') from error
    except Exception as error:
        raise SystemExit(
            f'error: {type(error).__name__}: {message_of(error)}\n'
            f'{keep_traceback(folder)}'
        ) from error


def check_file(what: str, path: str) -> None:
    """Exit with one line if a file that the user named does not exist."""
    if not osp.isfile(path):
        raise SystemExit(
            f'error: Invalid `{what}`: expected an existing file, got {path!r}.'
        )


def message_of(error: BaseException) -> str:
    """Return the message of an error, shortened if it is very long."""
    message = str(error).strip() or 'no reason given'
    if len(message) > _LONGEST_MESSAGE:
        return f'{message[:_LONGEST_MESSAGE]} ...'
    return message


def keep_traceback(folder: Optional[str] = None) -> str:
    """Write the traceback of the current error to a file.

    Args:
        folder (str, optional): The folder, created if needed. If it is None or
            cannot be written to, the folder for temporary files is used.

    Returns:
        str: A line that names the file, or says why there is none.
    """
    text = traceback.format_exc()
    name = f'traceback_rank{os.environ.get("RANK", "0")}'
    if folder is not None:
        path = osp.join(folder, f'{name}.txt')
        try:
            os.makedirs(folder, exist_ok=True)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            return f'(traceback: {path})'
        except OSError:
            pass  # the error may be that this folder cannot be written to
    try:
        descriptor, path = tempfile.mkstemp('.txt', f'mmdckd_{name}_')
        with open(descriptor, 'w', encoding='utf-8') as file:
            file.write(text)
    except OSError as error:
        return f'(the traceback could not be saved: {error})'
    return f'(traceback: {path})'
