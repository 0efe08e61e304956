# Copyright (c) mmdckd contributors. All rights reserved.
"""Examines one image file before anything is trained."""

import hashlib
from dataclasses import dataclass
from typing import Iterable, Optional, Tuple

import mmcv
from PIL import Image

from mmdckd.datasets.image_folder import file_digest
from mmdckd.datasets.load_image import fault_of
from mmdckd.io.images import file_fault, open_image, size_fault

# The position of the bit depth in the header of a PNG.
_PNG_DEPTH = 24
#: Pillow's names of formats that OpenCV, which reads images in training, reads too.
#: Others may have a common extension, and TIFF has compressions that it lacks.
_COMMON = ('BMP', 'JPEG', 'MPO', 'PNG', 'PPM', 'WEBP')


@dataclass(frozen=True)
class ImageFacts:
    """What is known about an image file.

    Attributes:
        path (str): The file.
        digest (bytes): A digest of its content; empty if it cannot be read.
        fault (str, optional): Why it cannot be used; None if it can.
        short_side (int): The shorter side, in pixels.
        is_deep (bool): Whether it has 16 bits per channel, of which training
            sees the upper 8.
        is_transparent (bool): Whether it has transparency, which training
            ignores.
    """

    path: str
    digest: bytes = b''
    fault: Optional[str] = None
    short_side: int = 0
    is_deep: bool = False
    is_transparent: bool = False


def look_at(path: str, decode: bool = True) -> ImageFacts:
    """Read and examine an image file.

    Args:
        path (str): The file.
        decode (bool): Whether to decode it too, which finds damage behind the
            header. Defaults to True.

    Returns:
        ImageFacts: What is known; an unreadable file has a ``fault`` and raises
        no error.
    """
    fault = file_fault(path)
    if fault:
        return ImageFacts(path, fault=fault)
    try:
        with open(path, 'rb') as file:
            content = file.read()
        digest = file_digest(path)
    except OSError as error:
        return ImageFacts(path, fault=f'it cannot be opened ({error.strerror})')
    fault = fault_of(content) or size_fault(content)
    if fault:
        return ImageFacts(path, digest, fault)
    with open_image(content) as image:
        # A PGM of mode I has 16 bits.
        if image.mode == 'F' or (image.format == 'TIFF' and image.mode == 'I'):
            return ImageFacts(path, digest, 'it has 32 bits per channel')
        if decode:
            readable = True
            try:
                image.load()
                if image.format not in _COMMON:
                    readable = mmcv.imfrombytes(content) is not None
            except Exception:  # decoders raise all kinds of errors
                readable = False
            if not readable:
                return ImageFacts(path, digest, 'it cannot be decoded')
        return ImageFacts(
            path,
            digest,
            short_side=min(image.size),
            is_deep=_is_deep(image, content),
            is_transparent=image.mode in ('RGBA', 'LA', 'PA')
            or 'transparency' in image.info,
        )


def digest_of(images: Iterable[Tuple[str, ImageFacts]]) -> str:
    """Return a digest of images, which does not depend on their files' names.

    Args:
        images (Iterable[Tuple[str, ImageFacts]]): What each image counts as, such
            as its class, and its facts.

    Returns:
        str: The digest in hexadecimal.
    """
    lines = sorted(f'{fact.digest.hex()} {kind}' for kind, fact in images)
    return hashlib.blake2b('\n'.join(lines).encode(), digest_size=16).hexdigest()


def _is_deep(image: Image.Image, content: bytes) -> bool:
    # Pillow converts a 16-bit color PNG to 8 bits.
    if image.format == 'PNG':
        return content[_PNG_DEPTH] == 16
    return image.mode.startswith('I')  # a 32-bit TIFF is a fault
