# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp
from contextlib import contextmanager
from typing import Iterator


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """Give a path to write to that becomes another when all is written.

    Args:
        path (str): What it becomes; left alone if anything is raised.

    Yields:
        str: The path to write to, which is gone afterwards.
    """
    partial = f'{path}.tmp'
    try:
        yield partial
        os.replace(partial, path)
    finally:
        if osp.exists(partial):
            os.remove(partial)
