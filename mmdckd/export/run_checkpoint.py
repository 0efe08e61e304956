# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the checkpoint of a run from which to export students."""

import os
import os.path as osp
from glob import escape, glob
from typing import List, Optional

from mmdckd.engine.hooks.cohort_checkpoint_hook import BEST
from mmdckd.io.latest import pointed_to

#: The folder in which `mmdckd train --data` trains the students.
STUDENTS = 'students'


def find_checkpoint(path: str) -> str:
    """Find the checkpoint of a run with its best students.

    It is ``best.pth``; without it, the newest ``best_*.pth`` of MMEngine's
    ``CheckpointHook``; without these, the checkpoint that ``last_checkpoint``
    names.

    Args:
        path (str): A checkpoint, which is returned unchanged; the ``work_dir`` of a
            run; or the ``work_dir`` of ``mmdckd train --data``, whose run is in
            ``students/``.

    Returns:
        str: The checkpoint.

    Raises:
        ValueError: If it is not the folder of a run, or the run has no checkpoint.
    """
    if not osp.isdir(path):
        return path
    inside = osp.join(path, STUDENTS)
    for folder in (path, inside):
        found = _checkpoint_in(folder)
        if found is not None:
            return found
    for folder in (inside, path):
        if _has_logs(folder):
            raise ValueError(
                'Invalid `RUN`: expected a run that has finished an epoch, got '
                f'{folder!r}, which has no checkpoint yet.'
            )
    near = _runs_below(path)
    raise ValueError(
        f'Invalid `RUN`: expected a checkpoint or the folder of a run, got {path!r}, '
        'which has neither a checkpoint nor a log.'
        + (f' Did you mean {near[0]!r}?' if near else '')
    )


def _checkpoint_in(folder: str) -> Optional[str]:
    best = osp.join(folder, BEST)
    if osp.isfile(best):
        return best
    others = glob(osp.join(escape(folder), 'best_*.pth'))
    if others:
        return max(others, key=osp.getmtime)
    last = osp.join(folder, osp.basename(pointed_to(folder)))
    return last if osp.isfile(last) else None


def _has_logs(folder: str) -> bool:
    return bool(glob(osp.join(escape(folder), '*', 'vis_data')))


def _runs_below(folder: str) -> List[str]:
    """List the subfolders of a folder that are runs, newest first."""
    runs = [
        entry
        for entry in os.scandir(folder)
        if entry.is_dir() and (_checkpoint_in(entry.path) or _has_logs(entry.path))
    ]
    return [run.path for run in sorted(runs, key=lambda e: -e.stat().st_mtime)]
