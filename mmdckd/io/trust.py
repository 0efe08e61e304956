# Copyright (c) mmdckd contributors. All rights reserved.
"""Whether files of weights may run code when they are loaded: they may not.

``torch.load(weights_only=True)`` builds tensors and containers, and of other
things only what is on a list. The checkpoints that mmdckd saves need none of
it; those that MMEngine saves need :func:`checkpoint_globals`. A pickle can
call everything on the list with arguments of its choice (the instructions
REDUCE and NEWOBJ), and set the state of what it has built (BUILD), so each
entry is here with what that can do:

- ``numpy.ndarray``: the class itself would take an address for the elements
  of an object array. Its place is taken by :class:`_Array`, which cannot be
  called; only ``_reconstruct`` makes one, of size 0, and its state may be the
  bytes of numbers and nothing else.
- ``numpy.dtype``: the class itself would make types of objects, and its state
  could claim references in plain numbers. Its place is taken by
  :class:`_Dtype`, which knows numbers and byte orders.
- ``_reconstruct``, ``scalar`` of ``numpy.core.multiarray``, and as NumPy 2
  calls it: :func:`_reconstruct` and :func:`_scalar`, which take the two
  classes above and bytes.
- ``HistoryBuffer``: the class of MMEngine. Calling it copies two lists of
  numbers; BUILD sets attributes, which
  :func:`~mmdckd.io.plain.restore_message_hub` checks.
- ``builtins.getattr``: :func:`_history_statistic`, which returns one of four
  methods of ``HistoryBuffer``. They are not on the list, so a file cannot call
  them.
"""

import math
import os
import os.path as osp
import pickle
import re
import zipfile
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Tuple

import numpy as np
import torch

_FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
_FORCE_NOT = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
_STATISTICS = ('min', 'max', 'current', 'mean')
_NUMBERS = '?' + np.typecodes['AllInteger'] + np.typecodes['Float']
#: How numbers are called where a dtype is pickled, without the byte order.
_CODES = {np.dtype(code).str[1:] for code in _NUMBERS}
#: A file that unpacks to more than this many times its size is refused; torch
#: does not compress what it saves.
_MOST_UNPACKED = 2
_trusted = False

# --------------------------------------------------------------------------- #
#                               What is trusted                               #
# --------------------------------------------------------------------------- #


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
        ValueError: If the file asks for more, is damaged, or would unpack to
            far more than its size; the message says so.
    """
    if _trusted:
        yield False
        return
    _check_size(what, path)
    before = {key: os.environ.pop(key, None) for key in (_FORCE, _FORCE_NOT)}
    os.environ[_FORCE] = '1'
    try:
        yield True
    except pickle.UnpicklingError as error:
        names = _asked_for(path, error)
        raise ValueError(
            (
                f'{what} is refused: it needs more than weights to be loaded, '
                f'{names}, by which a file can run any code. '
                if names
                else f'{what} cannot be read; it is no file of PyTorch, or needs '
                'more than weights to be loaded. '
            )
            + 'If you trust where it comes from, load it with '
            '--trust-checkpoint (in Python, '
            'mmdckd.io.trust.trust_checkpoints()); if not, ask for a file '
            'with weights alone.'
        ) from error
    except _OF_DAMAGE as error:
        raise ValueError(
            f'{what} cannot be read; it is damaged, or no file '
            f'of PyTorch ({type(error).__name__}: {error}).'
        ) from error
    finally:
        del os.environ[_FORCE]
        os.environ.update({k: v for k, v in before.items() if v is not None})


#: What the unpickler of torch raises for bytes that make no sense, beside its
#: own error. ValueError and RuntimeError say more, and are left as they are.
_OF_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OverflowError,
    TypeError,
    zipfile.BadZipFile,
)


def _check_size(what: str, path: str) -> None:
    path = osp.expanduser(path)
    if not osp.isfile(path) or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
    except Exception:  # a directory that zipfile cannot read; torch will say
        return
    if unpacked > _MOST_UNPACKED * osp.getsize(path) + 2**20:
        raise ValueError(
            f'{what} is refused: it has {osp.getsize(path):,} bytes and would '
            f'unpack to {unpacked:,}. PyTorch does not compress what it '
            'saves.'
        )


def _asked_for(path: str, error: Exception) -> str:
    """The functions and classes that a file wants and does not get."""
    path = osp.expanduser(path)
    names = []
    if osp.isfile(path) and zipfile.is_zipfile(path):
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception:  # what the bytes lead to; the error is known anyway
            pass
    # Of another format, PyTorch names the first one.
    names = names or re.findall(r'GLOBAL (\S+) w', str(error))
    return ', '.join(sorted(names))


# --------------------------------------------------------------------------- #
#                      What a checkpoint of MMEngine needs                    #
# --------------------------------------------------------------------------- #


def checkpoint_globals() -> List[Tuple[Callable, str]]:
    """What a checkpoint of MMEngine refers to, by the names it uses.

    Returns:
        List[Tuple[Callable, str]]: What ``torch.serialization
        .add_safe_globals`` takes. The module's docstring reviews each entry.
    """
    from mmengine.logging import HistoryBuffer

    allowed: List[Tuple[Callable, str]] = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_history_statistic, 'builtins.getattr'),
        (_Array, 'numpy.ndarray'),
        (_Dtype, 'numpy.dtype'),
    ]
    # How NumPy 1 and 2 call the module that rebuilds arrays and numbers.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [
            (_reconstruct, f'{module}._reconstruct'),
            (_scalar, f'{module}.scalar'),
        ]
    # torch looks for the class of what it fills, also where another library
    # has put the real class under the name of NumPy.
    return allowed + [(_Array, f'{__name__}._Array'), (_Dtype, f'{__name__}._Dtype')]


class _Array(np.ndarray):
    """An array of numbers as a file describes it.

    It is saved, copied and computed with like any other array.
    """

    def __new__(cls, *args, **kwargs) -> '_Array':
        raise pickle.UnpicklingError('numpy.ndarray is called')

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError('not the state of an array')
        _, shape, dtype, fortran, content = state
        kind = _dtype_of(dtype)
        if not (
            isinstance(shape, tuple)
            and len(shape) <= 32
            and all(type(n) is int and n >= 0 for n in shape)
            and isinstance(content, bytes)
            and math.prod(shape) * kind.itemsize == len(content)
        ):
            raise pickle.UnpicklingError('not the state of an array of numbers')
        fill: Any = super().__setstate__
        fill((1, shape, kind, bool(fortran), content))

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return np.asarray(self).__reduce_ex__(protocol)


class _Dtype:
    """The type of a number as a file describes it.

    Args:
        code (str): Its kind and size, like ``'f8'``.
        align (bool): Not used. Defaults to False.
        copy (bool): Not used. Defaults to False.
    """

    dtype: Any = None

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or code not in _CODES:
            raise pickle.UnpicklingError(f'the dtype {code!r} is no number')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        # The version, the byte order, and what numbers have not: a shape,
        # names, fields, a size, an alignment and flags.
        if (
            self.dtype is None
            or not isinstance(state, tuple)
            or len(state) != 8
            or state[1] not in ('<', '>', '|', '=')
            or state[2:] != (None, None, None, -1, -1, 0)
        ):
            raise pickle.UnpicklingError('not the state of the dtype of a number')
        self.dtype = self.dtype.newbyteorder(state[1])


def _dtype_of(value: Any) -> np.dtype:
    kind = value.dtype if isinstance(value, _Dtype) else value
    if not isinstance(kind, np.dtype) or kind.str[1:] not in _CODES:
        raise pickle.UnpicklingError('the dtype is no number')
    return kind


def _reconstruct(kind: type, shape: Tuple[int, ...], code: bytes) -> np.ndarray:
    """Stand in for ``_reconstruct``, by which an array is pickled.

    Args:
        kind (type): The class.
        shape (Tuple[int, ...]): ``(0, )``.
        code (bytes): ``b'b'``, whatever it will hold.

    Raises:
        pickle.UnpicklingError: The file asks for anything else.
    """
    if kind not in (_Array, np.ndarray) or shape != (0,) or code not in (b'b', 'b'):
        raise pickle.UnpicklingError(f'an array of {shape} is no array to be filled')
    return np.ndarray.__new__(_Array, (0,), 'b')


def _scalar(dtype: Any, content: bytes) -> np.generic:
    """Stand in for ``scalar``, by which a NumPy number is pickled.

    Args:
        dtype (_Dtype): Its type.
        content (bytes): Its bytes.

    Raises:
        pickle.UnpicklingError: The file asks for anything else.
    """
    kind = _dtype_of(dtype)
    if not isinstance(content, bytes) or len(content) != kind.itemsize:
        raise pickle.UnpicklingError('not the bytes of a number')
    return np.frombuffer(content, kind)[0]


def _history_statistic(owner: type, name: str) -> Callable:
    """Stand in for ``getattr``, by which the methods of a class are pickled.

    Args:
        owner (type): The class, :class:`HistoryBuffer`.
        name (str): The name of one of its statistics, like ``'mean'``.

    Raises:
        pickle.UnpicklingError: The file asks for anything else.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(
            f'{name!r} of {owner} is not a statistic of HistoryBuffer'
        )
    return getattr(HistoryBuffer, name)
