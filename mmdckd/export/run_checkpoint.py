# Copyright (c) mmdckd contributors. All rights reserved.
"""Which checkpoint of a run its students are exported from."""

import os
import os.path as osp
from glob import escape, glob
from typing import List, Optional

from mmdckd.engine.hooks.cohort_checkpoint_hook import BEST
from mmdckd.io.latest import pointed_to

#: Where `mmdckd train --data` trains the students.
STUDENTS = 'students'


def find_checkpoint(path: str) -> str:
    """Find the checkpoint of a run that holds its best students.

    That is ``best.pth``, or, where MMEngine's ``CheckpointHook`` has saved, the
    newest ``best_*.pth``; without either the one that ``last_checkpoint`` names.

    Args:
        path (str): A checkpoint, which is returned as it is; the ``work_dir`` of a
            run; or that of ``mmdckd train --data``, in which ``students/`` is the
            run.

    Returns:
        str: The checkpoint.

    Raises:
        ValueError: If the folder is none of a run, or the run has no checkpoint.
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
    """The folders of runs directly in a folder, the newest first."""
    runs = [
        entry
        for entry in os.scandir(folder)
        if entry.is_dir() and (_checkpoint_in(entry.path) or _has_logs(entry.path))
    ]
    return [run.path for run in sorted(runs, key=lambda e: -e.stat().st_mtime)]
