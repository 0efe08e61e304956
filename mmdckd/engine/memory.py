# Copyright (c) mmdckd contributors. All rights reserved.
"""Makes training on the CPU reuse the memory that it frees."""

import ctypes
import os
import platform

import torch

# Constants of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Make glibc keep the memory that this process frees, for reuse.

    By default it returns large blocks to the system at once, and a step that
    holds the graphs of several students requests them again every time: at
    224x224 this is 5 to 8 % of a step (docs/developers/performance.md). Results
    do not change; the process keeps the memory of its largest step until it
    ends.

    It does nothing with a GPU, because torch keeps memory itself, if the
    environment configures glibc (``MALLOC_...``, ``GLIBC_TUNABLES``), or with
    another C library.

    Returns:
        bool: Whether it took effect.
    """
    if (
        torch.cuda.is_available()
        or platform.libc_ver()[0] != 'glibc'
        or any(name.startswith(('MALLOC_', 'GLIBC_TUNABLES')) for name in os.environ)
    ):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1))
