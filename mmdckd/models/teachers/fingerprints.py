# Copyright (c) mmdckd contributors. All rights reserved.
"""Fingerprints that identify the views of images."""

import hashlib
from typing import Sequence, Union

import numpy as np
import torch

#: Of a larger image, at most this many bytes are hashed, spread evenly.
_BYTES = 1 << 14


def fingerprints(images: Union[torch.Tensor, Sequence[torch.Tensor]]) -> np.ndarray:
    """Compute a 64-bit fingerprint of each image.

    Args:
        images (Tensor | Sequence[Tensor]): B images (C, H, W), as the data
            loader yields them.

    Returns:
        np.ndarray: uint64 of shape (B,). It covers the shape of an image and,
        up to 16 KiB, all its bytes; of a larger one, 5 to 16 KiB, spread evenly.
    """
    return np.array([_fingerprint(image) for image in images], np.uint64)


def mixed(prints: np.ndarray, *draw: Union[int, str]) -> np.ndarray:
    """Compute the fingerprints of images that are mixed with each other.

    Args:
        prints (np.ndarray): The fingerprints of the batch before mixing, (B,).
        *draw (int | str): What determines the mixing and its random numbers.

    Returns:
        np.ndarray: uint64 of shape (B,).
    """
    batch = hashlib.blake2b(prints.tobytes() + repr(draw).encode(), digest_size=8)
    return prints ^ np.frombuffer(batch.digest(), np.uint64)


def _fingerprint(image: torch.Tensor) -> int:
    flat = image.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    # An odd step does not stay within one column.
    step = -(-len(flat) // _BYTES) | 1
    digest = hashlib.blake2b(repr(tuple(image.shape)).encode(), digest_size=8)
    digest.update(flat[::step].tobytes())
    return int.from_bytes(digest.digest(), 'little')
