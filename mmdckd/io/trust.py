# Copyright (c) mmdckd contributors. All rights reserved.
"""Load checkpoints without letting them run code.

``torch.load(weights_only=True)`` builds tensors, containers and the types on an
allowlist. The checkpoints that mmdckd saves need no entry; those that MMEngine
saves need :func:`checkpoint_globals`. A pickle can call every entry with
arguments of its choice (the instructions REDUCE and NEWOBJ) and set the state
of the objects it has built (BUILD). What each entry allows:

- ``numpy.ndarray``: the class itself would accept an address for the elements
  of an object array. :class:`_Array` replaces it and cannot be called; only
  ``_reconstruct`` makes one, of size 0, and its state can only be the bytes of
  numbers.
- ``numpy.dtype``: the class itself would make types of objects, and its state
  could declare references in plain numbers. :class:`_Dtype` replaces it and
  accepts only numbers and byte orders.
- ``_reconstruct`` and ``scalar`` of ``numpy.core.multiarray``, also under
  NumPy 2's name: :func:`_reconstruct` and :func:`_scalar`, which accept the two
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
#: The codes of numbers in a pickled dtype, without the byte order.
_CODES = {np.dtype(code).str[1:] for code in _NUMBERS}
#: A file that unpacks to more than this many times its size is refused, as
#: torch saves uncompressed files.
_MOST_UNPACKED = 2
_trusted = False

# --------------------------------------------------------------------------- #
#                               What is trusted                               #
# --------------------------------------------------------------------------- #


def trust_checkpoints() -> None:
    """Let every checkpoint that this process loads from now on run code.

    ``--trust-checkpoint`` calls this. Use it only for files from people whose
    programs you would run on this machine.
    """
    global _trusted
    _trusted = True


def are_trusted() -> bool:
    """Tell whether checkpoints may run code."""
    return _trusted


@contextmanager
def loading(what: str, path: str) -> Iterator[bool]:
    """Force ``weights_only=True`` on every ``torch.load`` in this context, unless
    checkpoints are trusted.

    Args:
        what (str): What names the file, for the error message, such as
            ``'`load_from`'``.
        path (str): The path of the file.

    Yields:
        bool: Whether only weights are loaded.

    Raises:
        ValueError: If the file needs more than weights, is damaged, or would
            unpack to far more than its size.
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
                f'Invalid {what}: expected only weights, got {path!r}, which also '
                f'needs {names} and so can run any code. '
                if names
                else f'Invalid {what}: expected a PyTorch file with only weights, '
                f'got {path!r}, which is of another kind or needs more. '
            )
            + 'If you trust its source, load it with --trust-checkpoint (in '
            'Python, mmdckd.io.trust.trust_checkpoints()); if not, ask for a file '
            'with only weights.'
        ) from error
    except _OF_DAMAGE as error:
        raise ValueError(
            f'Invalid {what}: expected a PyTorch file, got {path!r}, which is damaged '
            f'or of another kind ({type(error).__name__}: {error}).'
        ) from error
    finally:
        del os.environ[_FORCE]
        os.environ.update({k: v for k, v in before.items() if v is not None})


#: The errors that torch's unpickler raises for corrupt bytes, beside its own.
#: ValueError and RuntimeError have better messages and are not replaced.
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
            f'Invalid {what}: expected an uncompressed file, as PyTorch saves, got '
            f'{path!r}, {osp.getsize(path):,} bytes that would unpack to {unpacked:,}.'
        )


def _asked_for(path: str, error: Exception) -> str:
    """List the functions and classes that a file needs and that are refused."""
    path = osp.expanduser(path)
    names = []
    if osp.isfile(path) and zipfile.is_zipfile(path):
        try:
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        except Exception:  # corrupt bytes; the first error is raised anyway
            pass
    # For other formats, PyTorch's message names the first one.
    names = names or re.findall(r'GLOBAL (\S+) w', str(error))
    return ', '.join(sorted(names))


# --------------------------------------------------------------------------- #
#                      What a checkpoint of MMEngine needs                    #
# --------------------------------------------------------------------------- #


def checkpoint_globals() -> List[Tuple[Callable, str]]:
    """Return the allowlist for checkpoints of MMEngine.

    Returns:
        List[Tuple[Callable, str]]: The argument of ``torch.serialization
        .add_safe_globals``. The module's docstring reviews each entry.
    """
    from mmengine.logging import HistoryBuffer

    allowed: List[Tuple[Callable, str]] = [
        (HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_history_statistic, 'builtins.getattr'),
        (_Array, 'numpy.ndarray'),
        (_Dtype, 'numpy.dtype'),
    ]
    # NumPy 1's and 2's names of the module that rebuilds arrays and numbers.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        allowed += [
            (_reconstruct, f'{module}._reconstruct'),
            (_scalar, f'{module}.scalar'),
        ]
    # torch checks the class of each object whose state it sets, also if another
    # library has registered the real class under NumPy's name.
    return allowed + [(_Array, f'{__name__}._Array'), (_Dtype, f'{__name__}._Dtype')]


class _Array(np.ndarray):
    """An array of numbers from a file.

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
    """The type of a number from a file.

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
        # The version, the byte order, and the fields that only other types have:
        # a shape, names, fields, a size, an alignment and flags.
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
    """Replace ``_reconstruct``, which pickled arrays call.

    Args:
        kind (type): The class.
        shape (Tuple[int, ...]): ``(0, )``.
        code (bytes): ``b'b'``, whatever the array's type.

    Raises:
        pickle.UnpicklingError: If an argument has another value.
    """
    if kind not in (_Array, np.ndarray) or shape != (0,) or code not in (b'b', 'b'):
        raise pickle.UnpicklingError(f'an array of {shape} is no array to be filled')
    return np.ndarray.__new__(_Array, (0,), 'b')


def _scalar(dtype: Any, content: bytes) -> np.generic:
    """Replace ``scalar``, which pickled NumPy numbers call.

    Args:
        dtype (_Dtype): Its type.
        content (bytes): Its bytes.

    Raises:
        pickle.UnpicklingError: If the arguments are not those of a number.
    """
    kind = _dtype_of(dtype)
    if not isinstance(content, bytes) or len(content) != kind.itemsize:
        raise pickle.UnpicklingError('not the bytes of a number')
    return np.frombuffer(content, kind)[0]


def _history_statistic(owner: type, name: str) -> Callable:
    """Replace ``getattr``, which pickled methods of a class call.

    Args:
        owner (type): The class, :class:`HistoryBuffer`.
        name (str): The name of one of its statistics, like ``'mean'``.

    Raises:
        pickle.UnpicklingError: If the arguments name anything else.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or name not in _STATISTICS:
        raise pickle.UnpicklingError(
            f'{name!r} of {owner} is not a statistic of HistoryBuffer'
        )
    return getattr(HistoryBuffer, name)
