# Copyright (c) mmdckd contributors. All rights reserved.
"""Write files completely or not at all, and only in allowed folders."""

import contextlib
import errno
import os
import os.path as osp
import platform
import re
import secrets
import shutil
import tempfile
import time
import zlib
from glob import escape, glob
from typing import Iterator, Set

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: The seconds after its last write in which a temporary file is still in use.
_LONGEST_PAUSE = 3600

#: Upper bound on the length of a file's name in bytes: the 255 that file systems
#: allow, minus the ending of a temporary file.
LONGEST_NAME = 230


def path_below(folder: str, *names: str) -> str:
    """Join a path, and check that it stays inside its folder.

    Use it for every path with a part from a config, a checkpoint or the command
    line. Symbolic links are followed, so a link that points outside the folder
    is also an error.

    Args:
        folder (str): The folder; it need not exist.
        *names (str): Names or relative paths to join to it.

    Returns:
        str: ``os.path.join(folder, *names)``.

    Raises:
        ValueError: If the path is not below the folder (an absolute path, too
            many ``..``, or the folder itself), or is not a valid file name.

    Examples:
        >>> path_below('out', 'student0.pth')
        'out/student0.pth'
    """
    path = osp.join(folder, *names)
    inside = osp.join(osp.realpath(folder), '')
    # The system ends a name at a null byte.
    if '\0' in path or not osp.realpath(path).startswith(inside):
        raise ValueError(
            f'Invalid path {path!r}: expected one below the folder {folder!r}.'
        )
    if len(os.fsencode(osp.basename(path))) > LONGEST_NAME:
        raise ValueError(
            f'Invalid path {path!r}: expected a name of at most {LONGEST_NAME} bytes.'
        )
    return path


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Write a file completely or not at all.

    A temporary file in the same folder is written, flushed to the disk and
    renamed. If there is an error, or the process is killed, an existing file
    stays as it was. A symbolic link is followed. A device or a pipe, such as
    ``/dev/null``, is written to directly.

    Args:
        path (str): The file. Its folder is created if needed.

    Yields:
        str: The path to write to, of the temporary file.

    Raises:
        OSError: If the file cannot be written. If the disk is full, the message
            has the file and the free space.
    """
    if is_special(path):
        yield path
        return
    target = osp.realpath(path)
    folder = osp.dirname(target)
    os.makedirs(folder, exist_ok=True)
    # A process id would not be unique: other machines may share the folder.
    writer = f'{_machine():05d}.{os.getpid()}.{secrets.randbelow(10**6):06d}'
    beside = f'{target}.{writer}.tmp'
    try:
        yield beside
        with open(beside, 'rb+') as file:
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _remove(beside)
        room = shutil.disk_usage(folder).free / 1e6
        raise OSError(
            error.errno,
            f'{error.strerror}: the file needs more than the {room:.1f} MB that are '
            'free. Saved files are unchanged; free some space, and resume',
            path,
        ) from error
    finally:
        _remove(beside)
    _flush_folder(folder)


def is_special(path: str) -> bool:
    """Tell whether a path is that of a device or a pipe, which a file must not
    replace."""
    return osp.exists(path) and not osp.isfile(path) and not osp.isdir(path)


def file_stem(name: str, taken: Set[str]) -> str:
    """Convert a name to the stem of a file; equal stems get numbers.

    Args:
        name (str): The name, with any characters. A long one is cut.
        taken (Set[str]): The stems of other files; the result is added.

    Returns:
        str: The stem.

    Examples:
        >>> taken = set()
        >>> file_stem('KD+', taken), file_stem('KD*', taken)
        ('KD_', 'KD_-2')
    """
    plain = stem = shortened(re.sub(r'[^\w.-]+', '_', name), LONGEST_NAME - 20)
    number = 1
    while stem in taken:
        number += 1
        stem = f'{plain}-{number}'
    taken.add(stem)
    return stem


def shortened(name: str, size: int) -> str:
    """Cut a name to a number of bytes in UTF-8."""
    return name.encode('utf-8', 'replace')[:size].decode('utf-8', 'ignore')


def check_writable(folder: str, key: str) -> None:
    """Check that files can be written to a folder, without leaving any.

    Args:
        folder (str): The folder; it need not exist.
        key (str): The name of the option, for the error message.

    Raises:
        ValueError: If the folder cannot be created or written to.
    """
    nearest = osp.abspath(folder)
    while not osp.exists(nearest):
        nearest = osp.dirname(nearest)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ValueError(
            f'Invalid `{key}`: expected a folder to write to, got {folder!r}: '
            f'{nearest!r}: {error.strerror}.'
        ) from error


def check_writable_file(path: str, key: str) -> None:
    """Check that a file can be written; see :func:`check_writable`. A device or a
    pipe is not tried."""
    if osp.isdir(path):
        raise ValueError(f'Invalid `{key}`: expected a file, got the folder {path!r}.')
    if not is_special(path):
        check_writable(osp.dirname(path) or '.', key)


def write_text(path: str, text: str) -> None:
    """Write a text file in UTF-8, completely or not at all.

    Args:
        path (str): The file.
        text (str): Its content.
    """
    with replacing(path) as beside:
        with open(beside, 'w', encoding='utf-8') as file:
            file.write(text)


def copy_file(source: str, path: str, link: bool = False) -> None:
    """Copy a file, completely or not at all.

    Args:
        source (str): The file to copy.
        path (str): The path of the copy.
        link (bool): Whether to make a hard link, if the file system supports
            it. Defaults to False.
    """
    with replacing(path) as beside:
        if link:
            try:
                os.link(source, beside)
                return
            except OSError:
                pass  # the file system does not support it
        shutil.copyfile(source, beside)


def remove_leftovers(folder: str) -> None:
    """Remove temporary files that a killed :func:`replacing` left in a folder.

    A file that another process may still write is kept: one of the last hour,
    unless its writer was on this machine and has ended.

    Args:
        folder (str): The folder; it need not exist.
    """
    for part in ('', 'exported', osp.join('*', 'vis_data')):
        for path in glob(osp.join(escape(folder), part, '*.tmp')):
            if re.search(r'\.\d+\.tmp$', path) and not _is_being_written(path):
                _remove(path)


def _is_being_written(path: str) -> bool:
    writer = re.search(r'\.(\d{5})\.(\d{1,7})\.\d{6}\.tmp$', path)
    if writer is None:  # of an older version
        return False
    try:
        if time.time() - osp.getmtime(path) > _LONGEST_PAUSE:
            return False
        if int(writer[1]) == _machine() and os.name == 'posix':
            os.kill(int(writer[2]), 0)  # sends nothing
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # a process of another user
    return True


def _machine() -> int:
    """Return a number of five digits for this machine."""
    return zlib.crc32(platform.node().encode()) % 10**5


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _flush_folder(folder: str) -> None:
    if hasattr(os, 'O_DIRECTORY'):  # where a folder can be flushed
        descriptor = os.open(folder, os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
