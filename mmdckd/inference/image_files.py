# Copyright (c) mmdckd contributors. All rights reserved.
"""Which images a folder has, which can be read, and which class each is in."""

import os.path as osp
from typing import List, Optional, Sequence

from mmdckd.datasets.load_image import fault_of
from mmdckd.io.images import MAX_PIXELS, find_files, size_fault

ENDINGS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
_SHOWN = 5


def images_in(folder: str, key: str) -> List[str]:
    """The image files in a folder and below, in order.

    Args:
        folder (str): The folder.
        key (str): What gave it, for the message.

    Returns:
        List[str]: The paths, one or more.

    Raises:
        ValueError: If there is no such folder, or no image in it.
    """
    if not osp.isdir(folder):
        raise ValueError(
            f'Invalid `{key}`: expected a folder of images, got {folder!r}, which '
            + ('is a file.' if osp.exists(folder) else 'does not exist.')
        )
    found, _ = find_files(folder, ENDINGS)
    if not found:
        raise ValueError(
            f'Invalid `{key}`: expected images ({", ".join(ENDINGS)}) in {folder!r}, '
            'got none.'
        )
    return found


def check_readable(paths: Sequence[str], key: str) -> None:
    """Refuse images of which header or end show that they cannot be read.

    Args:
        paths (Sequence[str]): The files.
        key (str): What gave them, for the message.

    Raises:
        ValueError: If there are such; the message names them.
    """
    faults = []
    for path in paths:
        with open(path, 'rb') as file:
            content = file.read()
        fault = fault_of(content) or size_fault(content, MAX_PIXELS)
        if fault:
            faults.append(f'{path} ({fault})')
    if faults:
        rest = len(faults) - _SHOWN
        raise ValueError(
            f'Invalid `{key}`: expected images that can be read, got {len(faults)} '
            f'of {len(paths)} that cannot: {", ".join(faults[:_SHOWN])}'
            + (f' and {rest} more' if rest > 0 else '')
            + '. Mend or remove them.'
        )


def label_of(path: str, folder: str, classes: Sequence[str]) -> Optional[int]:
    """The class of an image by the folders that it is in.

    Args:
        path (str): The file.
        folder (str): The folder that was searched; only those below it count.
        classes (Sequence[str]): The names of the classes.

    Returns:
        int, optional: The label of the first folder that is called like a class;
        None where there is none.
    """
    for part in osp.dirname(osp.relpath(path, folder)).split(osp.sep):
        if part in classes:
            return list(classes).index(part)
    return None
