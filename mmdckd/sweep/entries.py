# Copyright (c) mmdckd contributors. All rights reserved.
"""Check the entries of the file of a sweep."""

import os.path as osp
from typing import Dict, Sequence

from mmdckd.errors import did_you_mean, invalid


def entries(key: str, raw: dict) -> Dict[str, dict]:
    """Return the entries of a key: names, and a dict of settings for each."""
    entries = raw.get(key, {})
    if not isinstance(entries, dict) or not all(
        isinstance(name, str) and isinstance(entry, dict)
        for name, entry in entries.items()
    ):
        raise invalid(key, 'names and their settings', entries)
    if key == 'methods' and not entries:
        raise ValueError('Invalid `methods`: expected at least one, got none.')
    return entries


def check_keys(
    where: str, entry: dict, known: Sequence[str], needed: Sequence[str]
) -> None:
    """Refuse a key that is not known, and the lack of one that is needed."""
    prefix = f'{where}.' if where else ''
    for key in entry:
        if key not in known:
            hint = did_you_mean(key, known)
            raise ValueError(
                f'Invalid `{prefix}{key}`: expected one of {list(known)}.{hint}'
            )
    for key in needed:
        if key not in entry:
            raise ValueError(f'Invalid `{prefix}{key}`: expected a value, got none.')


def check_file(what: str, path: str) -> None:
    """Refuse the path of a file that does not exist."""
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'Invalid {what}: expected an existing file, got {path!r}.'
        )
