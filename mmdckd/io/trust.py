# Copyright (c) mmdckd contributors. All rights reserved.
"""Whether files of weights may run code when they are loaded: they may not."""
import os
import os.path as osp
import pickle
import re
import zipfile
from contextlib import contextmanager
from typing import Iterator

import torch

_FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
_FORCE_NOT = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
_trusted = False


def trust_checkpoints() -> None:
    """Let every checkpoint that this process loads from now on run code.

    It is what ``--trust-checkpoint`` does: for files of people whom one would
    let run programs here.
    """
    global _trusted
    _trusted = True


def are_trusted() -> bool:
    """Whether checkpoints may run code."""
    return _trusted


@contextmanager
def loading(what: str, path: str) -> Iterator[bool]:
    """Have whoever calls ``torch.load`` inside this context load weights
    alone, whatever it asks for, unless checkpoints are trusted.

    Args:
        what (str): What is loaded, for the message.
        path (str): Where it is.

    Yields:
        bool: Whether nothing but weights is loaded.

    Raises:
        ValueError: If the file asks for more; the message says for what.
    """
    if _trusted:
        yield False
        return
    before = {key: os.environ.pop(key, None) for key in (_FORCE, _FORCE_NOT)}
    os.environ[_FORCE] = '1'
    try:
        yield True
    except pickle.UnpicklingError as error:
        names = _asked_for(path, error)
        raise ValueError(
            (f'{what} is refused: it needs more than weights to be loaded, '
             f'{names}, by which a file can run any code. ' if names else
             f'{what} cannot be read; it is no file of PyTorch, or needs '
             'more than weights to be loaded. ') +
            'If you trust where it comes from, load it with '
            '--trust-checkpoint (in Python, '
            'mmdckd.io.trust.trust_checkpoints()); if not, ask for a file '
            'with weights alone.') from error
    finally:
        del os.environ[_FORCE]
        os.environ.update({k: v for k, v in before.items() if v is not None})


def _asked_for(path: str, error: Exception) -> str:
    """The functions and classes that a file wants and does not get."""
    path = osp.expanduser(path)
    names = []
    if osp.isfile(path) and zipfile.is_zipfile(path):
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except pickle.UnpicklingError:
            pass
    # Of another format, PyTorch names the first one.
    names = names or re.findall(r'GLOBAL (\S+) w', str(error))
    return ', '.join(sorted(names))
