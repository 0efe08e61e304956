# Copyright (c) mmdckd contributors. All rights reserved.
"""Find and check the images in a folder, and their classes."""

import os.path as osp
from typing import List, Optional, Sequence

from mmdckd.datasets.load_image import fault_of
from mmdckd.errors import shorten
from mmdckd.io.images import ENDINGS, MAX_PIXELS, find_files, size_fault


def images_in(folder: str, key: str) -> List[str]:
    """List the image files in a folder and its subfolders, in order.

    Args:
        folder (str): The folder.
        key (str): The name of the option, for the error message.

    Returns:
        List[str]: The paths, one or more.

    Raises:
        ValueError: If the folder does not exist or contains no image.
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
    """Check, by the header and end of each image file, that it can be read.

    Args:
        paths (Sequence[str]): The files.
        key (str): The name of the option, for the error message.

    Raises:
        ValueError: If some cannot be read; the message lists them.
    """
    faults = []
    for path in paths:
        with open(path, 'rb') as file:
            content = file.read()
        fault = fault_of(content) or size_fault(content, MAX_PIXELS)
        if fault:
            faults.append(f'{path} ({fault})')
    if faults:
        raise ValueError(
            f'Invalid `{key}`: expected images that can be read, got {len(faults)} '
            f'of {len(paths)} that cannot: {shorten(faults)}. '
            'Repair or remove them.'
        )


def label_of(path: str, folder: str, classes: Sequence[str]) -> Optional[int]:
    """Return the label of an image by the names of the folders that contain it.

    Args:
        path (str): The file.
        folder (str): The searched folder; only its subfolders are considered.
        classes (Sequence[str]): The names of the classes.

    Returns:
        int, optional: The label of the first folder with the name of a class;
        None if there is none.
    """
    for part in osp.dirname(osp.relpath(path, folder)).split(osp.sep):
        if part in classes:
            return list(classes).index(part)
    return None
