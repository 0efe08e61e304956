# Copyright (c) mmdckd contributors. All rights reserved.
"""Where a file may be written, and how: whole or not at all."""

import contextlib
import errno
import os
import os.path as osp
import re
import secrets
import shutil
import tempfile
from glob import escape, glob
from typing import Iterator

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Upper bound on the length of a file's name in bytes: of the 255 that file
#: systems allow, some are left for the ending of a temporary file.
LONGEST_NAME = 230


def path_below(folder: str, *names: str) -> str:
    """Join a path, and refuse one that leaves its folder.

    Use it wherever a part of a path comes from a config, a checkpoint or the
    command line. Symbolic links are followed: a link inside the folder that
    points outside it is refused too.

    Args:
        folder (str): The folder; it need not exist.
        *names (str): What to join to it, a name or a relative path.

    Returns:
        str: ``os.path.join(folder, *names)``.

    Raises:
        ValueError: If the path is not below the folder: an absolute path, one
            with too many ``..``, the folder itself, or if no file can have
            such a name.

    Examples:
        >>> path_below('out', 'student0.pth')
        'out/student0.pth'
    """
    path = osp.join(folder, *names)
    inside = osp.join(osp.realpath(folder), '')
    # A null byte ends a name for the system.
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
    """Write a file whole or not at all.

    The file is written beside its place, flushed to the disk and renamed. If
    anything is raised, or the process is killed, what was there before stays.
    A symbolic link is followed.

    Args:
        path (str): The file. Its folder is made if need be.

    Yields:
        str: The path to write to, which is gone afterwards.

    Raises:
        OSError: If the file cannot be written. Where the disk is full, the
            message names the file and the room there is.
    """
    target = osp.realpath(path)
    folder = osp.dirname(target)
    os.makedirs(folder, exist_ok=True)
    # Not the process's id: processes of other machines may share the folder.
    beside = f'{target}.{secrets.randbelow(10**12)}.tmp'
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
            f'{error.strerror}: the disk has room for {room:.1f} MB, and the '
            'file needs more. Nothing that was saved before is touched; make '
            'room, and resume',
            path,
        ) from error
    finally:
        _remove(beside)
    _flush_folder(folder)


def check_writable(folder: str, key: str) -> None:
    """Refuse a folder that files cannot be written to; nothing is left in it.

    Args:
        folder (str): The folder; it need not exist.
        key (str): What gave it, for the message.

    Raises:
        ValueError: If it cannot be written to, or made.
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


def write_text(path: str, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Args:
        path (str): The file.
        text (str): Its content.
    """
    with replacing(path) as beside:
        with open(beside, 'w', encoding='utf-8') as file:
            file.write(text)


def copy_file(source: str, path: str, link: bool = False) -> None:
    """Copy a file, whole or not at all.

    Args:
        source (str): The file to copy.
        path (str): Where to.
        link (bool): Whether to share the content with the source (a hard
            link) where the file system can. Defaults to False.
    """
    with replacing(path) as beside:
        if link:
            try:
                os.link(source, beside)
                return
            except OSError:
                pass  # not on this file system
        shutil.copyfile(source, beside)


def remove_leftovers(folder: str) -> None:
    """Remove the files that a killed :func:`replacing` left in a work folder.

    Args:
        folder (str): The folder; it need not exist.
    """
    for part in ('', 'exported', osp.join('*', 'vis_data')):
        for path in glob(osp.join(escape(folder), part, '*.tmp')):
            if re.search(r'\.\d+\.tmp$', path):
                _remove(path)


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
