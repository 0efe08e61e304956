# Copyright (c) mmdckd contributors. All rights reserved.
"""Image files from anywhere: how large they are, before they are decoded."""

import io
import os
import os.path as osp
import stat
import warnings
from contextlib import contextmanager
from typing import Iterator, List, Optional, Sequence, Tuple

from PIL import Image, UnidentifiedImageError

#: The endings of the image files that are read, in lower case.
ENDINGS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
#: Upper bound on the pixels of an image, that of Pillow.
MAX_PIXELS = 178_956_970
#: Upper bound on the ratio of its sides. Pipelines that resize the shorter
#: side to 256 pixels would make a strip of 1 x 20,000 a gigabyte.
MAX_ASPECT = 100.0
# No format takes more for a pixel.
_BYTES_OF_PIXEL = 16


@contextmanager
def open_image(content: bytes) -> Iterator[Image.Image]:
    """Open an image with Pillow, which does not decode it yet, whatever its
    size.

    Args:
        content (bytes): The content of a file.

    Yields:
        Image: The image.

    Raises:
        OSError: If Pillow does not know the format.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # size_fault says more, and can be set
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(content))
    finally:
        Image.MAX_IMAGE_PIXELS = before
    with image:
        yield image


def size_fault(
    content: bytes, max_pixels: int = MAX_PIXELS, max_aspect: float = MAX_ASPECT
) -> Optional[str]:
    """What is wrong with the size of an image, by its header.

    Args:
        content (bytes): The content of a file.
        max_pixels (int): How many pixels it may have. Defaults to
            :data:`MAX_PIXELS`.
        max_aspect (float): The largest ratio of its sides. Defaults to
            :data:`MAX_ASPECT`.

    Returns:
        str, optional: The fault; None where there is none.
    """
    try:
        with open_image(content) as image:
            width, height = image.size
    except UnidentifiedImageError:
        return 'it is no image whose format is known'
    except Exception as error:  # decoders raise what they like
        return f'its header cannot be read ({error})'
    if width < 1 or height < 1:
        return f'it has {width} x {height} pixels'
    if width * height > max_pixels:
        return (
            f'it has {width:,} x {height:,} pixels, more than '
            f'{max_pixels:,} (`max_pixels`)'
        )
    if max(width, height) > max_aspect * min(width, height):
        return (
            f'it has {width:,} x {height:,} pixels: one side is more than '
            f'{max_aspect:g} times the other (`max_aspect`)'
        )
    return None


def file_fault(path: str, max_pixels: int = MAX_PIXELS) -> Optional[str]:
    """What is wrong with a local file that should be an image, unopened.

    Args:
        path (str): The file.
        max_pixels (int): How many pixels it may have. Defaults to
            :data:`MAX_PIXELS`.

    Returns:
        str, optional: The fault; None where there is none, or no such file.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None  # whoever opens it says more
    if not stat.S_ISREG(found.st_mode):
        return 'it is no regular file'
    if found.st_size > _BYTES_OF_PIXEL * max_pixels:
        return f'it has {found.st_size:,} bytes'
    return None


def find_files(folder: str, endings: Sequence[str]) -> Tuple[List[str], List[str]]:
    """Find the files in a folder and below.

    Hidden ones are left out. Links to folders are followed, but no folder is
    entered twice.

    Args:
        folder (str): The folder.
        endings (Sequence[str]): The endings of the files, in lower case.

    Returns:
        Tuple[List[str], List[str]]: The paths, in order, and a line for each
        entry that was skipped.
    """
    files, skipped, entered = [], [], {_identity(folder)}
    for root, folders, names in os.walk(folder, followlinks=True):
        for name in list(folders):
            path = osp.join(root, name)
            if name.startswith('.'):
                folders.remove(name)
            elif _identity(path) in entered:
                folders.remove(name)
                skipped.append(f'{path}: it links to a folder that is searched already')
            else:
                entered.add(_identity(path))
        for name in names:
            path = osp.join(root, name)
            if name.startswith('.') or not name.lower().endswith(tuple(endings)):
                continue
            if osp.isfile(path):
                files.append(path)
            else:
                skipped.append(
                    f'{path}: '
                    + (
                        'it is no regular file'
                        if osp.exists(path)
                        else 'it links to nothing'
                    )
                )
    return sorted(files), sorted(skipped)


def subfolders(path: str) -> List[str]:
    """The names of the folders in a folder, in order, without hidden ones."""
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith('.')
    )


def _identity(path: str) -> Tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
