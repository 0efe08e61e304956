# Copyright (c) mmdckd contributors. All rights reserved.
"""Where a training on the CPU has its memory from."""

import ctypes
import os
import platform

import torch

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let glibc keep what this process frees, to be used again.

    It gives large blocks back to the system at once, and a step that holds
    the graphs of several students takes them anew every time: at 224x224
    this is 5 to 8 % of a step (docs/developers/performance.md). No result changes; the
    process keeps the memory of its largest step until it ends.

    With a GPU torch keeps memory itself, and nothing is done, nor where the
    environment sets glibc up (``MALLOC_...``, ``GLIBC_TUNABLES``) or the C
    library is another.

    Returns:
        bool: Whether it was done.
    """
    if (
        torch.cuda.is_available()
        or platform.libc_ver()[0] != 'glibc'
        or any(name.startswith(('MALLOC_', 'GLIBC_TUNABLES')) for name in os.environ)
    ):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1))
