# Copyright (c) mmdckd contributors. All rights reserved.
"""Where a file may be written."""
import os.path as osp


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
            with too many ``..``, the folder itself, or a name that no file
            can have.

    Examples:
        >>> path_below('out', 'student0.pth')
        'out/student0.pth'
    """
    path = osp.join(folder, *names)
    inside = osp.join(osp.realpath(folder), '')
    # A null byte ends a name for the system.
    if '\0' in path or not osp.realpath(path).startswith(inside):
        raise ValueError(f'Invalid path {path!r}: expected one below the '
                         f'folder {folder!r}.')
    return path
