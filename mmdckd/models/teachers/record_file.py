# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp
import zlib
from contextlib import suppress
from typing import Optional, Sequence

import numpy as np
from filelock import FileLock

_SUFFIX = '.logits'
_LOCK = 'cache.lock'
#: Seconds to wait for another process that creates a file.
_PATIENCE = 60


class RecordFile:
    """A file of fixed-size records, each of which verifies itself.

    A record is stored with the fingerprint of its image and a checksum of
    both. A record that was never written, is damaged, half written or of
    another image counts as missing. So several processes may write the same
    file at once without locks.

    Records are read through a memory map but written through the file: a
    process that writes to mapped memory is killed when the disk is full.

    Args:
        path (str): A file of the right size.
        record (np.dtype): The type of a record.
    """

    def __init__(self, path: str, record: np.dtype) -> None:
        self.path = path
        self._row = _row(record)
        self._rows = np.memmap(path, self._row, mode='r')

    @classmethod
    def open(
        cls, folder: str, name: str, record: np.dtype, places: int, max_bytes: int
    ) -> Optional['RecordFile']:
        """Open a file; create it if it is missing or has the wrong size.

        Args:
            folder (str): The folder of the cache.
            name (str): The path of the file in it, without its suffix.
            record (np.dtype): The type of a record.
            places (int): The number of records.
            max_bytes (int): The largest total size of all files in the folder.

        Returns:
            RecordFile, optional: None if it does not fit into ``max_bytes``.

        Raises:
            OSError: If it cannot be created or read.
        """
        path = osp.join(folder, name + _SUFFIX)
        size = places * _row(record).itemsize
        if not _has_size(path, size):
            os.makedirs(osp.dirname(path), exist_ok=True)
            with FileLock(osp.join(folder, _LOCK), timeout=_PATIENCE):
                # Unless another process has created it by now.
                if not _has_size(path, size):
                    with suppress(FileNotFoundError):
                        os.remove(path)
                    if _bytes_in(folder) + size > max_bytes:
                        return None
                    with open(path, 'xb') as file:
                        file.truncate(size)
        return cls(path, record)

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, places: Sequence[int], images: np.ndarray) -> Optional[np.ndarray]:
        """Read records.

        Args:
            places (Sequence[int]): Their places.
            images (np.ndarray): The fingerprints of the images, uint64 (B,).

        Returns:
            np.ndarray, optional: B records, or None if any is missing.
        """
        if max(places) >= len(self):
            return None
        rows = np.array(self._rows[np.asarray(places)])
        if (rows['image'] != images).any():
            return None
        return rows['record'] if (rows['check'] == _checks(rows)).all() else None

    def write(
        self, places: Sequence[int], images: np.ndarray, records: np.ndarray
    ) -> None:
        """Write records.

        Args:
            places (Sequence[int]): Their places; those past the end are dropped.
            images (np.ndarray): The fingerprints of the images, uint64 (B,).
            records (np.ndarray): B records.

        Raises:
            OSError: If they cannot be written.
        """
        rows = np.zeros(len(records), self._row)
        rows['image'], rows['record'] = images, records
        rows['check'] = _checks(rows)
        inside = np.asarray(places) < len(self)
        numbers, rows = np.asarray(places)[inside], rows[inside]
        # Adjacent records are written at once.
        starts = [
            i for i in range(len(rows)) if i == 0 or numbers[i - 1] + 1 != numbers[i]
        ]
        with open(self.path, 'r+b', buffering=0) as file:
            for start, end in zip(starts, [*starts[1:], len(rows)]):
                file.seek(int(numbers[start]) * self._row.itemsize)
                content = rows[start:end].tobytes()
                if file.write(content) != len(content):
                    raise OSError(f'No space left for {self.path!r}')


def _row(record: np.dtype) -> np.dtype:
    return np.dtype([('check', '<u4'), ('image', '<u8'), ('record', record)])


def _checks(rows: np.ndarray) -> list:
    start = rows.dtype['check'].itemsize
    return [zlib.crc32(row.tobytes()[start:]) for row in rows]


def _has_size(path: str, size: int) -> bool:
    return osp.isfile(path) and osp.getsize(path) == size


def _bytes_in(folder: str) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(_SUFFIX):
                with suppress(FileNotFoundError):
                    size += osp.getsize(osp.join(parent, name))
    return size
