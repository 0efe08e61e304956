# Copyright (c) mmdckd contributors. All rights reserved.
import re
from typing import Optional, Set

import mmcv
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from torch.utils.data import get_worker_info

from mmdckd.console.messages import warn
from mmdckd.io.images import MAX_ASPECT, MAX_PIXELS, file_fault, size_fault
from mmdckd.registry import TRANSFORMS

_MOST_WORKERS = 1024
#: A JPEG marker. Between the segments of a JPEG, 0xff is also in image data, before 0,
#: and in restart markers, which are part of the image data.
_MARKER = re.compile(rb'\xff[^\x00\xff\xd0-\xd7]')
_END = b'\xff\xd9'
#: The other markers without a segment: the start of an image, and TEM.
_BARE = (b'\xff\xd8', b'\xff\x01')
#: Arguments of ``LoadImageFromFile``, and what replaces them.
_INSTEAD = dict(ignore_empty="on_broken='skip'", file_client_args='backend_args')


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Loads an image from a file and detects truncated files.

    It replaces ``LoadImageFromFile`` and has the same results. That transform
    does not detect a truncated JPEG, whose missing part becomes gray, and does
    not always name the file that it could not read.

    With ``on_broken='skip'``, MMEngine's dataset replaces a broken image by a
    random other one; with :class:`~mmdckd.engine.hooks.ExactResumeHook`, it is
    the same one in every run. Each worker logs each broken file once, and
    :class:`~mmdckd.engine.hooks.SkippedImagesHook` counts them. Validation and
    testing never skip images.

    Args:
        on_broken (str): What to do with an image that cannot be read or is
            truncated, ``'error'`` or ``'skip'``. Defaults to ``'error'``.
        max_pixels (int): The largest number of pixels; a larger image counts as
            broken and is not decoded. Defaults to 178,956,970, Pillow's limit.
        max_aspect (float): The largest ratio of its sides. Defaults to 100.
        **kwargs: The arguments of ``LoadImageFromFile`` except
            ``ignore_empty`` and ``file_client_args``.

    Raises:
        ValueError: If ``on_broken`` is unknown, a limit is less than 1, or one
            of the two excluded arguments is set.
        OSError: If an image is broken and not skipped; the message has its
            path.

    Examples:
        >>> train_pipeline = [
        ...     dict(type='mmdckd.LoadImage', on_broken='skip'),
        ...     dict(type='PackInputs'),
        ... ]
    """

    ON_BROKEN = ('error', 'skip')

    def __init__(
        self,
        on_broken: str = 'error',
        max_pixels: int = MAX_PIXELS,
        max_aspect: float = MAX_ASPECT,
        **kwargs,
    ) -> None:
        for key, instead in _INSTEAD.items():
            if kwargs.get(key):
                raise ValueError(
                    f'Invalid `{key}` of LoadImage: expected `{instead}` in its '
                    f'place, got {kwargs[key]!r}.'
                )
        super().__init__(**kwargs)
        if on_broken not in self.ON_BROKEN:
            raise ValueError(
                'Invalid `on_broken` of LoadImage: expected one of '
                f'{self.ON_BROKEN}, got {on_broken!r}.'
            )
        for name, value in dict(max_pixels=max_pixels, max_aspect=max_aspect).items():
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not value >= 1
            ):
                raise ValueError(
                    f'Invalid `{name}` of LoadImage: expected a number of at least 1, '
                    f'got {value!r}.'
                )
        self.on_broken = on_broken
        self.max_pixels = max_pixels
        self.max_aspect = max_aspect
        # One count a worker, in shared memory; the last one is for the process
        # itself, if there are no workers.
        self._skipped = torch.zeros(
            _MOST_WORKERS + 1, dtype=torch.int64
        ).share_memory_()
        self._named: Set[str] = set()

    @property
    def num_skipped(self) -> int:
        """int: The number of images that this process and its workers have
        skipped."""
        return int(self._skipped.sum())

    def transform(self, results: dict) -> Optional[dict]:
        """Load one image.

        Args:
            results (dict): With ``img_path``.

        Returns:
            dict, optional: With ``img``, ``img_shape`` and ``ori_shape``;
            None if the image is skipped.
        """
        path = results['img_path']
        try:
            image = self._load(path)
        except Exception as error:  # decoders raise errors of any type
            message = f'The image {path!r} cannot be read: {error}.'
            if self.on_broken == 'error':
                raise OSError(
                    f'{message} Repair or remove it, or skip such images in '
                    "training: dict(type='mmdckd.LoadImage', "
                    "on_broken='skip')."
                ) from error
            worker = get_worker_info()
            self._skipped[-1 if worker is None else worker.id] += 1
            if path not in self._named:
                self._named.add(path)
                warn(f'{message} Another image replaces it.')
            return None
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _load(self, path: str) -> np.ndarray:
        fault = file_fault(path, self.max_pixels)
        if fault is None:
            content = fileio.get(path, backend_args=self.backend_args)
            fault = fault_of(content) or size_fault(
                content, self.max_pixels, self.max_aspect
            )
        if fault:
            raise ValueError(fault)
        image = mmcv.imfrombytes(
            content, flag=self.color_type, backend=self.imdecode_backend
        )
        if image is None:
            raise ValueError('it cannot be decoded')
        return image.astype(np.float32) if self.to_float32 else image

    def __repr__(self) -> str:
        return (
            f'{super().__repr__()[:-1]}, on_broken={self.on_broken!r}, '
            f'max_pixels={self.max_pixels}, max_aspect={self.max_aspect})'
        )


def fault_of(content: bytes) -> Optional[str]:
    """Detect a truncated image without decoding it.

    A JPEG has an end marker after its segments and scans, and a PNG has an end
    chunk; WebP and BMP files contain their length. What follows the end, such as
    the video of a motion photo, is ignored.

    Args:
        content (bytes): The content of a file.

    Returns:
        str, optional: The fault; None if none was found.
    """
    whole = True
    if not content:
        return 'it is empty'
    if content.startswith(b'\xff\xd8'):
        whole = _has_jpeg_end(content)
    elif content.startswith(b'\x89PNG'):
        whole = _has_png_end(content)
    elif content.startswith(b'RIFF') and content[8:12] == b'WEBP':
        whole = len(content) >= 8 + int.from_bytes(content[4:8], 'little')
    elif content.startswith(b'BM'):
        whole = len(content) >= int.from_bytes(content[2:6], 'little')
    return None if whole else 'it is truncated'


def _has_jpeg_end(content: bytes) -> bool:
    """Tell whether a JPEG has the end marker of its main image.

    It skips segments by their length, because thumbnails in them have end markers
    too.
    """
    position = 0
    while match := _MARKER.search(content, position):
        if match[0] == _END:
            return True
        position = match.end()
        if match[0] not in _BARE:
            position += int.from_bytes(content[position : position + 2], 'big')
    return False


def _has_png_end(content: bytes) -> bool:
    """Tell whether a PNG has its end chunk, behind the others."""
    position = 8
    while kind := content[position + 4 : position + 8]:
        if kind == b'IEND':
            return True
        position += 12 + int.from_bytes(content[position : position + 4], 'big')
    return False
