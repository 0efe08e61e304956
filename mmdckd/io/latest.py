# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the checkpoint from which to resume a run."""

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
    """A checkpoint from which a run might resume.

    Attributes:
        epoch (int): The number of epochs before it was saved; 0 by iteration.
        iteration (int): The number of iterations before it was saved, which may
            be counted anew after a change of the batch size.
        time (float): The time at which it was saved.
        path (str): The file.
    """

    epoch: int
    iteration: int
    time: float
    path: str


def point_to(work_dir: str, path: str) -> None:
    """Record the latest checkpoint of a run.

    Args:
        work_dir (str): The work folder.
        path (str): The checkpoint. Only its name is recorded, so that a folder
            can be copied or moved; a URL is recorded completely.
    """
    write_text(
        osp.join(work_dir, POINTER), path if '://' in path else osp.basename(path)
    )


def pointed_to(work_dir: str) -> str:
    """Read the latest checkpoint recorded in a work folder.

    Args:
        work_dir (str): The work folder.

    Returns:
        str: A name or, as older versions and MMEngine write, a path; ``''`` if
        there is none.
    """
    path = osp.join(work_dir, POINTER)
    if not osp.isfile(path):
        return ''
    with open(path, errors='replace', encoding='utf-8') as file:
        return file.read(4096).strip()


def find_latest(work_dir: str, folder: Optional[str] = None) -> Optional[str]:
    """Find the checkpoint from which to resume.

    It is the file that ``last_checkpoint`` names, in the folder of the
    checkpoints, whatever folder ``last_checkpoint`` says. If that file is
    missing or damaged, it is the valid checkpoint with the most epochs and
    iterations and the state of a training. Temporary files of interrupted writes
    are removed.

    Args:
        work_dir (str): The work folder, which contains ``last_checkpoint``.
        folder (str, optional): The folder of the checkpoints. Defaults to
            None: the work folder.

    Returns:
        str, optional: The checkpoint; None if there is none.
    """
    folder = folder or work_dir
    for each in {work_dir, folder}:
        remove_leftovers(each)
    named, warnings = pointed_to(work_dir), []
    # Only the file name of the pointer is used.
    first = osp.join(folder, osp.basename(named))
    tried = ''
    if not named:
        warnings.append(f'{osp.join(work_dir, POINTER)} is missing or empty')
    elif '://' in named or osp.isdir(named) or osp.isdir(first):
        warnings.append(
            f'{osp.join(work_dir, POINTER)} names {named!r}, '
            f'which is not a file in {folder} and is ignored'
        )
    else:
        tried = first
        fault = fault_of(first)
        if fault is None:
            return first
        warnings.append(f'{first} {fault}')
    found = None
    for path in _others(folder, tried, warnings):
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
                else '. None was found: training starts from the beginning.'
            )
        )
    else:
        tell(f'No checkpoint found in {folder}: training starts from the beginning.')
    return found


def fault_of(path: str) -> Optional[str]:
    """Check whether a run can resume from a checkpoint.

    The file is read as when resuming, and its checksums are compared.

    Args:
        path (str): The file.

    Returns:
        str, optional: 'is damaged (...)', 'does not exist' or 'does not contain
        the state of a training'; None if a run can resume from it.
    """
    if not osp.isfile(path):
        return 'does not exist'
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                broken = file.testzip()
            if broken is not None:
                return f'is damaged ({broken} in the file)'
        checkpoint = _load(path)
    except Exception as error:  # corrupt bytes raise any error
        line = (str(error).splitlines() or [''])[0]
        return f'is damaged ({type(error).__name__}: {line})'
    if not _has_state(checkpoint):
        return 'does not contain the state of a training'
    return None


def _others(folder: str, tried: str, warnings: List[str]) -> List[str]:
    """List the other checkpoints with the state of a training, latest first."""
    candidates = []
    for path in glob(osp.join(escape(folder), '*.pth')):
        # A state that led to a non-finite loss is only used if it is named.
        if path == tried or osp.basename(path).startswith('stopped_at_'):
            continue
        try:
            checkpoint = _load(path, mmap=zipfile.is_zipfile(path))
            if _has_state(checkpoint):
                meta = checkpoint['meta']
                epoch, iteration = int(meta.get('epoch', 0)), int(meta.get('iter', 0))
                candidates.append(
                    _Candidate(epoch, iteration, osp.getmtime(path), path)
                )
        except Exception as error:  # corrupt bytes raise any error
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
