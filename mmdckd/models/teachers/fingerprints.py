# Copyright (c) mmdckd contributors. All rights reserved.
"""Numbers by which the views of images are known again."""

import hashlib
from typing import Sequence, Union

import numpy as np
import torch

#: Of a larger image as many bytes, evenly spread, are looked at.
_BYTES = 1 << 14


def fingerprints(images: Union[torch.Tensor, Sequence[torch.Tensor]]) -> np.ndarray:
    """A number of 64 bits for each image, as the dataloader gives it.

    Args:
        images (Tensor | Sequence[Tensor]): B images (C, H, W).

    Returns:
        np.ndarray: uint64 of shape (B,). It follows from all of an image of
        at most 16 KiB, and from its shape and 16 KiB of a larger one.
    """
    return np.array([_fingerprint(image) for image in images], np.uint64)


def mixed(prints: np.ndarray, *draw: int) -> np.ndarray:
    """Fingerprints of images that are mixed with each other.

    Args:
        prints (np.ndarray): Those of the batch before, (B,).
        *draw (int): What the numbers follow from that mixing draws.

    Returns:
        np.ndarray: uint64 of shape (B,).
    """
    batch = hashlib.blake2b(prints.tobytes() + repr(draw).encode(), digest_size=8)
    return prints ^ np.frombuffer(batch.digest(), np.uint64)


def _fingerprint(image: torch.Tensor) -> int:
    flat = image.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    # An odd step does not stay in one column.
    step = -(-len(flat) // _BYTES) | 1
    digest = hashlib.blake2b(repr(tuple(image.shape)).encode(), digest_size=8)
    digest.update(flat[::step].tobytes())
    return int.from_bytes(digest.digest(), 'little')
