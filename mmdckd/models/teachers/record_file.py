# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp
import zlib
from contextlib import suppress
from typing import Optional

import numpy as np
from filelock import FileLock

_LOCK = 'cache.lock'
#: Upper bound in seconds on the wait for another process that makes a file.
_PATIENCE = 60


class RecordFile:
    """Records in numbered places of a file, each of which checks itself.

    A record is kept with the fingerprint of the image it is of and a checksum
    of both. A place that nobody has written, or that is damaged, half written
    or of another image holds nothing. So several processes can write one file
    at once: what they write to a place is the same, and where it is not, the
    checksum or the fingerprint shows it.

    Reading is from mapped memory; writing is not, since a full disk would end
    a process that writes to mapped memory.

    Args:
        path (str): The file, which is of the right size.
        record (np.dtype): Of one record.
    """

    def __init__(self, path: str, record: np.dtype) -> None:
        self.path = path
        self._row = _row(record)
        self._rows = np.memmap(path, self._row, mode='r')

    @classmethod
    def open(
        cls, path: str, record: np.dtype, places: int, max_bytes: int
    ) -> Optional['RecordFile']:
        """Open a file, made where there is none or one of another size.

        Args:
            path (str): The file, two folders below that of the cache.
            record (np.dtype): Of one record.
            places (int): How many places it has.
            max_bytes (int): Of all files of the cache.

        Returns:
            RecordFile, optional: None where there is no room for it.

        Raises:
            OSError: If it cannot be made or read.
        """
        size = places * _row(record).itemsize
        if not _has_size(path, size):
            folder = osp.dirname(osp.dirname(path))
            os.makedirs(osp.dirname(path), exist_ok=True)
            with FileLock(osp.join(folder, _LOCK), timeout=_PATIENCE):
                if not _has_size(path, size):  # nor has another made it
                    with suppress(FileNotFoundError):
                        os.remove(path)
                    if bytes_in(folder) + size > max_bytes:
                        return None
                    with open(path, 'xb') as file:
                        file.truncate(size)
        return cls(path, record)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, places: slice, images: np.ndarray) -> Optional[np.ndarray]:
        """Read records.

        Args:
            places (slice): Where.
            images (np.ndarray): The fingerprints of the images, uint64 (B,).

        Returns:
            np.ndarray, optional: B records, None unless all are there.
        """
        rows = np.array(self._rows[places])
        if len(rows) != len(images) or (rows['image'] != images).any():
            return None
        return rows['record'] if (rows['check'] == _checks(rows)).all() else None

    def write(self, places: slice, images: np.ndarray, records: np.ndarray) -> None:
        """Write records.

        Args:
            places (slice): Where; those behind the end are left out.
            images (np.ndarray): The fingerprints of the images, uint64 (B,).
            records (np.ndarray): Their records.

        Raises:
            OSError: If they cannot be written.
        """
        rows = np.zeros(len(records), self._row)
        rows['image'], rows['record'] = images, records
        rows['check'] = _checks(rows)
        numbers = range(len(self))[places]
        whole = 1 if numbers.step != 1 else len(numbers)
        with open(self.path, 'r+b', buffering=0) as file:
            for start in range(0, len(numbers), whole or 1):
                file.seek(numbers[start] * self._row.itemsize)
                content = rows[start : min(start + whole, len(numbers))].tobytes()
                if file.write(content) != len(content):
                    raise OSError(f'{self.path!r}: the disk is full')


def bytes_in(folder: str) -> int:
    """How many bytes the files in a folder have, with those below it."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += osp.getsize(osp.join(parent, name))
    return size


def _row(record: np.dtype) -> np.dtype:
    return np.dtype([('check', '<u4'), ('image', '<u8'), ('record', record)])


def _checks(rows: np.ndarray) -> list:
    """The checksum of each row."""
    start = rows.dtype['check'].itemsize
    return [zlib.crc32(row.tobytes()[start:]) for row in rows]


def _has_size(path: str, size: int) -> bool:
    return osp.isfile(path) and osp.getsize(path) == size
