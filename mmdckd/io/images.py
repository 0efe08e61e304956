# Copyright (c) mmdckd contributors. All rights reserved.
"""Check untrusted image files before they are decoded."""

import io
import os
import os.path as osp
import stat
import warnings
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

from PIL import Image, UnidentifiedImageError

#: The file extensions of images, in lower case.
ENDINGS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
#: Upper bound on the number of pixels of an image, the same as Pillow's.
MAX_PIXELS = 178_956_970
#: Upper bound on the ratio of its sides. Pipelines that resize the shorter
#: side to 256 pixels would make a strip of 1 x 20,000 a gigabyte.
MAX_ASPECT = 100.0
# No format needs more bytes a pixel.
_BYTES_OF_PIXEL = 16


@contextmanager
def open_image(content: bytes) -> Iterator[Image.Image]:
    """Open an image of any size with Pillow, without decoding it.

    Args:
        content (bytes): The content of a file.

    Yields:
        Image: The image.

    Raises:
        OSError: If Pillow does not know the format.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # size_fault has a limit that can be set
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
    """Check the size of an image by its header, and that it is no map of floats.

    OpenCV reads gray 32-bit floats (PFM) without the axis of channels, and turns
    values from 0 to 1 into 0 and 1.

    Args:
        content (bytes): The content of a file.
        max_pixels (int): The largest number of pixels. Defaults to
            :data:`MAX_PIXELS`.
        max_aspect (float): The largest ratio of its sides. Defaults to
            :data:`MAX_ASPECT`.

    Returns:
        str, optional: The fault; None if there is none.
    """
    try:
        with open_image(content) as image:
            width, height = image.size
            is_pfm = image.format == 'PPM' and image.mode == 'F'
    except UnidentifiedImageError:
        return 'it is not an image of a known format'
    except Exception as error:  # decoders raise errors of any type
        return f'its header cannot be read ({error})'
    if is_pfm:
        return 'it has 32 bits per channel'
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
    """Check the type and size of a local image file without opening it.

    Args:
        path (str): The file.
        max_pixels (int): The largest number of pixels. Defaults to
            :data:`MAX_PIXELS`.

    Returns:
        str, optional: The fault; None if there is none, or the file does not
        exist.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None  # opening it raises a better error
    if not stat.S_ISREG(found.st_mode):
        return 'it is not a regular file'
    if found.st_size > _BYTES_OF_PIXEL * max_pixels:
        return f'it has {found.st_size:,} bytes'
    return None


def _refuse(error: OSError) -> None:
    raise ValueError(
        f'Invalid folder {error.filename!r}: expected one that can be read, got: '
        f'{error.strerror}.'
    ) from error


def find_files(
    folder: str, endings: Sequence[str], on_error: Callable[[OSError], None] = _refuse
) -> Tuple[List[str], List[str]]:
    """Find the files in a folder and its subfolders.

    Hidden files are ignored. Links to folders are followed, but no folder is
    searched twice.

    Args:
        folder (str): The folder.
        endings (Sequence[str]): The file extensions, in lower case.
        on_error (Callable): Called with the error of each folder that cannot be
            read. Defaults to raising it as a ``ValueError``.

    Returns:
        Tuple[List[str], List[str]]: The paths, in order, and a line for each
        skipped entry.

    Raises:
        ValueError: If a folder cannot be read, by default.
    """
    files, skipped, entered = [], [], {_identity(folder)}
    for root, folders, names in os.walk(folder, onerror=on_error, followlinks=True):
        for name in list(folders):
            path = osp.join(root, name)
            try:
                identity = None if name.startswith('.') else _identity(path)
            except OSError as error:
                identity = None
                on_error(error)
            if identity in entered:
                skipped.append(f'{path}: it links to a folder that is already searched')
            if identity is None or identity in entered:
                folders.remove(name)
            else:
                entered.add(identity)
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
                        'it is not a regular file'
                        if osp.exists(path)
                        else 'it links to nothing'
                    )
                )
    return sorted(files), sorted(skipped)


def subfolders(path: str) -> List[str]:
    """List the names of the subfolders of a folder, in order, without hidden
    ones."""
    return sorted(
        entry.name
        for entry in os.scandir(path)
        if entry.is_dir() and not entry.name.startswith('.')
    )


def _identity(path: str) -> Tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
