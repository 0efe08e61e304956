# Copyright (c) mmdckd contributors. All rights reserved.
"""Which checkpoint of a run to resume from."""

import os.path as osp
import zipfile
from glob import escape, glob
from typing import Any, Dict, List, NamedTuple, Optional

import torch

from mmdckd.console.messages import tell, warn

from .files import remove_leftovers, write_text
from .trust import are_trusted

POINTER = 'last_checkpoint'
"""str: The file of a work folder that names its latest checkpoint."""

_STATE = {'meta', 'state_dict', 'optimizer'}


class _Candidate(NamedTuple):
    """A checkpoint that may be resumed from.

    Attributes:
        iteration (int): After which iteration it was saved.
        time (float): When it was written.
        path (str): The file.
    """

    iteration: int
    time: float
    path: str


def point_to(work_dir: str, path: str) -> None:
    """Note which checkpoint of a run is the latest.

    Args:
        work_dir (str): The work folder.
        path (str): The checkpoint. Its name alone is noted, so that a folder
            that is copied or moved names its own; an address is noted whole.
    """
    write_text(
        osp.join(work_dir, POINTER), path if '://' in path else osp.basename(path)
    )


def pointed_to(work_dir: str) -> str:
    """Read the pointer of a work folder.

    Args:
        work_dir (str): The work folder.

    Returns:
        str: What it says, a name or, as older versions and MMEngine write it,
        a path; ``''`` where there is none.
    """
    path = osp.join(work_dir, POINTER)
    if not osp.isfile(path):
        return ''
    with open(path, errors='replace', encoding='utf-8') as file:
        return file.read(4096).strip()


def find_latest(work_dir: str, folder: Optional[str] = None) -> Optional[str]:
    """Find the checkpoint to resume from.

    It is the one that ``last_checkpoint`` names, in the folder of the
    checkpoints, whatever folder the pointer says. If that file is missing or
    damaged, it is the one with the most iterations that is whole and holds
    the state of a training. What an interrupted writing has left is removed.

    Args:
        work_dir (str): The work folder, which has ``last_checkpoint``.
        folder (str, optional): The folder of the checkpoints. Defaults to
            None, the work folder.

    Returns:
        str or None: The checkpoint; None where there is none.
    """
    folder = folder or work_dir
    for each in {work_dir, folder}:
        remove_leftovers(each)
    named, warnings = pointed_to(work_dir), []
    # Nothing but a name is taken from the pointer.
    first = osp.join(folder, osp.basename(named))
    if not named:
        warnings.append(f'{osp.join(work_dir, POINTER)} is missing or empty')
    elif '://' in named or osp.isdir(named) or osp.isdir(first):
        warnings.append(
            f'{osp.join(work_dir, POINTER)} names {named!r}, '
            f'which is no file in {folder} and is not followed'
        )
    else:
        fault = fault_of(first)
        if fault is None:
            return first
        warnings.append(f'{first} {fault}')
    found = None
    for path in _others(folder, first, warnings):
        fault = fault_of(path)
        if fault is None:
            found = path
            break
        warnings.append(f'{path} {fault}')
    if found or named or len(warnings) > 1:
        warn(
            'Looking for a checkpoint to resume from: '
            + '; '.join(warnings)
            + (
                f'. Resuming from {found}.'
                if found
                else '. There is none: training starts from the beginning.'
            )
        )
    else:
        tell(
            f'There is no checkpoint in {folder} to resume from: training '
            'starts from the beginning.'
        )
    return found


def fault_of(path: str) -> Optional[str]:
    """Say what is wrong with a checkpoint.

    The file is read as resuming reads it, and its checksums are compared.

    Args:
        path (str): The file.

    Returns:
        str or None: 'is damaged (...)', 'is not there' or 'holds no state of
        a training'; None if it can be resumed from.
    """
    if not osp.isfile(path):
        return 'is not there'
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                broken = file.testzip()
            if broken is not None:
                return f'is damaged ({broken} in it)'
        checkpoint = _load(path)
    except Exception as error:  # whatever bytes lead to is a reason
        line = (str(error).splitlines() or [''])[0]
        return f'is damaged ({type(error).__name__}: {line})'
    if not _has_state(checkpoint):
        return 'holds no state of a training'
    return None


def _others(folder: str, first: str, warnings: List[str]) -> List[str]:
    """The other checkpoints with the state of a training, latest first."""
    candidates = []
    for path in glob(osp.join(escape(folder), '*.pth')):
        # A state that led to a loss that is not finite is resumed from by
        # name.
        if path == first or osp.basename(path).startswith('stopped_at_'):
            continue
        try:
            checkpoint = _load(path, mmap=zipfile.is_zipfile(path))
            if _has_state(checkpoint):
                candidates.append(
                    _Candidate(
                        int(checkpoint['meta'].get('iter', 0)), osp.getmtime(path), path
                    )
                )
        except Exception as error:  # as above
            warnings.append(f'{path} is damaged ({type(error).__name__})')
    return [candidate.path for candidate in sorted(candidates, reverse=True)]


def _load(path: str, mmap: bool = False) -> Dict[str, Any]:
    return torch.load(
        path, map_location='cpu', weights_only=not are_trusted(), mmap=mmap
    )


def _has_state(checkpoint: Any) -> bool:
    return (
        isinstance(checkpoint, dict)
        and not _STATE - checkpoint.keys()
        and isinstance(checkpoint['meta'], dict)
    )
