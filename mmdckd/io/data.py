# Copyright (c) mmdckd contributors. All rights reserved.
"""Files of numbers from anywhere: read in bounds, and refused by name."""

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
    """What an array of a file should be.

    Attributes:
        kinds (str): What NumPy calls the kinds of numbers that it may have,
            such as ``'iu'``.
        ndim (int): How many dimensions it has.
        optional (bool): Whether it may be missing. Defaults to False.
    """

    kinds: str
    ndim: int
    optional: bool = False


def read_arrays(path: str, specs: Dict[str, ArraySpec]) -> Dict[str, Any]:
    """Read arrays from an ``.npz`` file, after a look at their headers.

    Args:
        path (str): The file.
        specs (Dict[str, ArraySpec]): What to read.

    Returns:
        Dict[str, ndarray]: The arrays that there are.

    Raises:
        ValueError: If the file cannot be read, an array is missing or of
            another form, or all are more than :data:`LARGEST_ARRAYS`; the
            message names the file.
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
    except Exception as error:  # as any bytes lead to any error
        raise ValueError(
            f'Invalid file {path!r}: expected arrays as mmdckd writes them ({error}).'
        ) from error
    return arrays


def _check_header(file: Any, name: str, spec: ArraySpec) -> int:
    """Check the header of an array, and tell how many bytes it takes."""
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
        largest (int): How many bytes it may have. Defaults to
            :data:`LARGEST_JSON`.

    Returns:
        Any: What it holds.

    Raises:
        ValueError: If it is no JSON, or too large; the message names the
            file.
    """
    _check_size(path, largest)
    with open(path, 'rb') as file:
        return parse_json(file.read(), f'Invalid file {path!r}')


def read_lines(path: str) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Read a file with a JSON object in each line.

    A last line without an end is being written, and left out.

    Args:
        path (str): The file.

    Yields:
        Tuple[str, dict]: What to begin a message with, and the object.

    Raises:
        ValueError: If a line is no JSON object, or is too long, or the file
            is too large; the message names the file and the line.
    """
    _check_size(path, LARGEST_JSON)
    with open(path, 'rb') as file:
        for number in range(1, LARGEST_JSON):
            line = file.readline(LONGEST_LINE + 1)
            where = f'Line {number} of {path!r}'
            if len(line) > LONGEST_LINE:
                raise ValueError(f'{where} has more than {LONGEST_LINE:,} bytes.')
            if not line.endswith(b'\n'):
                return
            content = parse_json(line, where)
            if not isinstance(content, dict):
                raise ValueError(
                    f'{where} is no JSON object but a {type(content).__name__}.'
                )
            yield where, content


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a number that a float can hold."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63)


def _check_size(path: str, largest: int) -> None:
    if osp.getsize(path) > largest:
        raise ValueError(
            f'Invalid file {path!r}: expected at most '
            f'{largest:,} bytes, got {osp.getsize(path):,}.'
        )


def parse_json(content: bytes, where: str) -> Any:
    """Parse JSON from anywhere.

    Args:
        content (bytes): The text.
        where (str): What to begin a message with.

    Returns:
        Any: What it says.

    Raises:
        ValueError: If it is no JSON, or nested too deep.
    """
    try:
        with bounded_nesting():
            return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{where} is not JSON: {error}') from error
