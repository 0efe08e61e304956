# Copyright (c) mmdckd contributors. All rights reserved.
"""A teacher's logits of every view of every image, in a file."""

import hashlib
import json
import os
import os.path as osp
import shutil
from typing import Callable, Iterable, List, Optional, Union

import numpy as np
import torch
from filelock import FileLock
from mmengine.structures import BaseDataElement

from mmdckd.io.data import read_json
from mmdckd.io.files import replacing, write_text

from .cached_logits import check_lookup

Part = Union[str, np.ndarray, torch.Tensor]

# Bytes that are read at once to compute a checksum.
_BLOCK = 1 << 24
# The largest size of the file with the checksum, in bytes.
_LARGEST_NOTE = 4096


class LogitsCache:
    """The logits of I images in V views each, C classes.

    They are stored as float16 in ``<folder>/<key>.npy``, which is mapped into
    memory; ``<key>.json`` holds the checksum of the file. The key is a hash of
    everything the logits depend on, so logits of another network or of other
    images have another name.

    Args:
        logits (np.ndarray): float16 of shape (I, V, C).
    """

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits
        self._checked = False

    @classmethod
    def open(cls, folder: str, key: str, shape: tuple) -> Optional['LogitsCache']:
        """Open a file that :meth:`create` has written.

        Args:
            folder (str): The folder.
            key (str): The hash of everything the logits depend on.
            shape (tuple): I, V and C.

        Returns:
            LogitsCache, optional: None if there is no file, or it is damaged.
        """
        path = _path(folder, key)
        if not (osp.isfile(path) and osp.isfile(_noted(path))):
            return None
        try:
            checksum = read_json(_noted(path), _LARGEST_NOTE)['blake2b']
            if checksum != _checksum(path):
                return None
            logits = np.load(path, mmap_mode='r', allow_pickle=False)
        except (EOFError, KeyError, TypeError, ValueError):
            return None
        if (
            not isinstance(logits, np.ndarray)
            or logits.shape != tuple(shape)
            or logits.dtype != np.float16
        ):
            return None
        return cls(logits)

    @classmethod
    def create(
        cls, folder: str, key: str, shape: tuple, batches: Iterable[np.ndarray]
    ) -> 'LogitsCache':
        """Write logits to a file, completely or not at all, and open it.

        If another process is writing the same file, wait for it and open what it
        has written.

        Args:
            folder (str): The folder; it is created if it is missing.
            key (str): The hash of everything the logits depend on.
            shape (tuple): I, V and C.
            batches (Iterable[np.ndarray]): The logits of all I x V views, image
                by image, in batches (B, C).

        Returns:
            LogitsCache: The logits.

        Raises:
            OSError: If they do not fit on the disk.
            ValueError: If a logit is not finite in float16.
        """
        os.makedirs(folder, exist_ok=True)
        with FileLock(osp.join(folder, f'{key}.lock')):
            cache = cls.open(folder, key, shape)
            if cache is None:
                cache = cls._write(folder, key, shape, batches)
            return cache

    @classmethod
    def _write(
        cls, folder: str, key: str, shape: tuple, batches: Iterable[np.ndarray]
    ) -> 'LogitsCache':
        path = _path(folder, key)
        needed = 2 * int(np.prod(shape))
        free = shutil.disk_usage(folder).free
        if free < needed:
            # On a full disk, writing to mapped memory would kill the process.
            raise OSError(
                f'{folder!r} has {free / 2**30:.2f} GiB of room, '
                f"and the teacher's logits {tuple(shape)} need "
                f'{needed / 2**30:.2f} GiB.'
            )
        with replacing(path) as new:
            written = np.lib.format.open_memmap(
                new, mode='w+', dtype=np.float16, shape=tuple(shape)
            )
            rows, start = written.reshape(-1, shape[-1]), 0
            for batch in batches:
                with np.errstate(over='ignore'):
                    batch = batch.astype(np.float16)
                if not np.isfinite(batch).all():
                    raise ValueError(
                        'Invalid logits of the teacher: expected values that fit '
                        'into float16, got one that is not finite or above 65504. '
                        'Train without `TeacherCacheHook`.'
                    )
                rows[start : start + len(batch)] = batch
                start += len(batch)
            written.flush()
            del rows, written
            checksum = _checksum(new)
        write_text(_noted(path), json.dumps(dict(blake2b=checksum)))
        return cls(np.load(path, mmap_mode='r', allow_pickle=False))

    def __deepcopy__(self, memo: dict) -> 'LogitsCache':
        """Share it with copies of the model, such as an EMA."""
        return self

    def look_up(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]],
        run: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Look up the logits of a batch; the first time, compare them with those
        that the network computes.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample]): B data samples with ``sample_idx``
                and ``view``.
            run (Callable): Runs the network on images: its logits (B, C).

        Returns:
            Tensor: float32 of shape (B, C).

        Raises:
            ValueError: If a sample lacks ``sample_idx`` or ``view``; the first
                time, also if the network computes different logits.
        """
        logits = self(inputs, data_samples)
        if not self._checked:
            check_lookup(
                logits,
                run(inputs),
                'Is something random in `train_dataloader.dataset.pipeline` beside '
                'EnumeratedCropFlip?',
            )
            self._checked = True
        return logits

    def __call__(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]]
    ) -> torch.Tensor:
        """Look up the logits of a batch.

        Args:
            inputs (Tensor): The images (B, 3, H, W); only their device is used.
            data_samples (List[DataSample]): B data samples with ``sample_idx``
                and ``view``.

        Returns:
            Tensor: float32 of shape (B, C).

        Raises:
            ValueError: If the samples lack ``sample_idx`` or ``view``.
        """
        data_samples = data_samples or []
        for name in ('sample_idx', 'view'):
            if not data_samples or name not in data_samples[0]:
                raise ValueError(
                    f"Invalid sample: expected `{name}`, by which the teacher's "
                    'logits are looked up, got none. End the pipeline with '
                    "dict(type='PackInputs', meta_keys=('sample_idx', 'view'))."
                )
        images = [sample.sample_idx for sample in data_samples]
        views = [sample.view for sample in data_samples]
        logits = self.logits[images, views].astype(np.float32)
        return torch.from_numpy(logits).to(inputs.device, non_blocking=True)


def hash_of(*parts: Part) -> 'hashlib.blake2b':
    """Compute a hash of texts, arrays and tensors, in order.

    Args:
        *parts (str | np.ndarray | Tensor): The parts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
            continue
        digest.update(f'{part.dtype}{tuple(part.shape)}'.encode())
        if isinstance(part, torch.Tensor):
            # As bytes: NumPy has no bfloat16.
            part = part.detach().cpu().contiguous().reshape(-1)
            part = part.view(torch.uint8).numpy()
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest


def _path(folder: str, key: str) -> str:
    return osp.join(folder, f'{key}.npy')


def _noted(path: str) -> str:
    return f'{osp.splitext(path)[0]}.json'


def _checksum(path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(_BLOCK), b''):
            digest.update(block)
    return digest.hexdigest()
