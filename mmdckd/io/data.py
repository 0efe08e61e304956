# Copyright (c) mmdckd contributors. All rights reserved.
"""Read untrusted files of numbers with bounds on their size."""

import json
import math
import os.path as osp
import zipfile
from typing import Any, Dict, Iterator, NamedTuple, Tuple

import numpy as np

from .nesting import bounded_nesting

#: Upper bounds in bytes on files of JSON, their lines, and on arrays.
LARGEST_JSON = 256 * 2**20
LONGEST_LINE = 2**20
LARGEST_ARRAYS = 8 * 2**30


class ArraySpec(NamedTuple):
    """The expected form of an array in a file.

    Attributes:
        kinds (str): NumPy's codes of the allowed kinds of numbers, such as
            ``'iu'``.
        ndim (int): The number of dimensions.
        optional (bool): Whether it may be missing. Defaults to False.
    """

    kinds: str
    ndim: int
    optional: bool = False


def read_arrays(path: str, specs: Dict[str, ArraySpec]) -> Dict[str, Any]:
    """Read arrays from an ``.npz`` file after checking their headers.

    Args:
        path (str): The file.
        specs (Dict[str, ArraySpec]): Name to expected form of the arrays.

    Returns:
        Dict[str, ndarray]: The arrays, without missing optional ones.

    Raises:
        ValueError: If the file cannot be read, an array is missing or has
            another form, or the arrays are larger than :data:`LARGEST_ARRAYS`;
            the message names the file.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            chosen = [name for name in specs if f'{name}.npy' in names]
            missing = [
                name
                for name, spec in specs.items()
                if name not in chosen and not spec.optional
            ]
            if missing:
                raise ValueError(f'it has no {", ".join(missing)}')
            size = 0
            for name in chosen:
                with archive.open(f'{name}.npy') as file:
                    size += _check_header(file, name, specs[name])
            if size > LARGEST_ARRAYS:
                raise ValueError(f'its arrays take {size:,} bytes')
        with np.load(path, allow_pickle=False) as loaded:
            for name in chosen:
                arrays[name] = loaded[name]
    except OSError:
        raise
    except Exception as error:  # corrupt bytes raise any error
        raise ValueError(
            f'Invalid file {path!r}: expected arrays as mmdckd writes them ({error}).'
        ) from error
    return arrays


def _check_header(file: Any, name: str, spec: ArraySpec) -> int:
    """Check the header of an array, and return its size in bytes."""
    version = np.lib.format.read_magic(file)
    read: Any = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    if dtype.kind not in spec.kinds or len(shape) != spec.ndim:
        raise ValueError(f'{name!r} is of {dtype} and shape {shape}')
    return math.prod(shape) * dtype.itemsize


def read_json(path: str, largest: int = LARGEST_JSON) -> Any:
    """Read a JSON file.

    Args:
        path (str): The file.
        largest (int): The largest size in bytes. Defaults to
            :data:`LARGEST_JSON`.

    Returns:
        Any: The content.

    Raises:
        ValueError: If it is not JSON, or too large; the message names the file.
    """
    _check_size(path, largest)
    with open(path, 'rb') as file:
        return parse_json(file.read(), f'file {path!r}')


def read_lines(path: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read a file with a JSON object in each line.

    A last line without a newline is still being written, and is ignored.

    Args:
        path (str): The file.

    Yields:
        Tuple[str, dict]: The place for messages, such as ``"line 3 of 'a.jsonl'"``,
        and the object.

    Raises:
        ValueError: If a line is not a JSON object or too long, or the file is
            too large; the message names the file and the line.
    """
    _check_size(path, LARGEST_JSON)
    with open(path, 'rb') as file:
        for number in range(1, LARGEST_JSON):
            line = file.readline(LONGEST_LINE + 1)
            where = f'line {number} of {path!r}'
            if len(line) > LONGEST_LINE:
                raise ValueError(
                    f'Invalid {where}: expected at most {LONGEST_LINE:,} bytes, got '
                    'more.'
                )
            if not line.endswith(b'\n'):
                return
            content = parse_json(line, where)
            if not isinstance(content, dict):
                raise ValueError(
                    f'Invalid {where}: expected a JSON object, got a '
                    f'{type(content).__name__}.'
                )
            yield where, content


def is_number(value: Any) -> bool:
    """Tell whether a value of a JSON file is a number that fits into a float."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _check_size(path: str, largest: int) -> None:
    if osp.getsize(path) > largest:
        raise ValueError(
            f'Invalid file {path!r}: expected at most '
            f'{largest:,} bytes, got {osp.getsize(path):,}.'
        )


def parse_json(content: bytes, where: str) -> Any:
    """Parse untrusted JSON.

    Args:
        content (bytes): The text.
        where (str): The place of the text for the error message, such as
            ``"file 'a.json'"``.

    Returns:
        Any: The value.

    Raises:
        ValueError: If it is not JSON, or nested too deeply.
    """
    try:
        with bounded_nesting():
            return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'Invalid {where}: expected JSON, got {error}') from error
