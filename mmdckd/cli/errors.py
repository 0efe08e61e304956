# Copyright (c) mmdckd contributors. All rights reserved.
"""How a command ends that cannot do what it is asked."""

import os
import os.path as osp
import tempfile
import traceback
from contextlib import contextmanager
from typing import Iterator, Optional

_LONGEST_MESSAGE = 1500

#: What is raised for what a user can mend: the message says it all.
EXPECTED = (FileNotFoundError, ModuleNotFoundError, ValueError)


@contextmanager
def one_error_line(folder: Optional[str] = None) -> Iterator[None]:
    """Exit with one line where something fails, as every tool does.

    An error that is none of :data:`EXPECTED` has its type in the line, and
    its traceback is kept in a file that a second line names.

    Args:
        folder (str, optional): The folder for the traceback. Defaults to
            None, that of temporary files.
    """
    try:
        yield
    except EXPECTED as error:
        raise SystemExit(f'error: {message_of(error)}') from error
    except Exception as error:
        raise SystemExit(
            f'error: {type(error).__name__}: {message_of(error)}\n'
            f'{keep_traceback(folder)}'
        ) from error


def check_file(what: str, path: str) -> None:
    """Exit with one line if a file that was named does not exist."""
    if not osp.isfile(path):
        raise SystemExit(f'error: there is no {what} {path!r}')


def message_of(error: BaseException) -> str:
    """What an error says, cut where it is too long to be read."""
    message = str(error).strip() or 'no reason is given'
    if len(message) > _LONGEST_MESSAGE:
        return f'{message[:_LONGEST_MESSAGE]} ...'
    return message


def keep_traceback(folder: Optional[str] = None) -> str:
    """Write the traceback of the error that is being handled to a file.

    Args:
        folder (str, optional): The folder, which is made; where it cannot be
            written to, or there is none, that of temporary files is taken.

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
            pass  # a folder that cannot be written to may be the error itself
    try:
        descriptor, path = tempfile.mkstemp('.txt', f'mmdckd_{name}_')
        with open(descriptor, 'w', encoding='utf-8') as file:
            file.write(text)
    except OSError as error:
        return f'(no traceback is kept: {error})'
    return f'(traceback: {path})'
