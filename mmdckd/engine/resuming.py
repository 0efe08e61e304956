# Copyright (c) mmdckd contributors. All rights reserved.
"""Finding the checkpoint that a run resumes from."""

from typing import List, Optional

from mmengine.dist import broadcast_object_list, is_main_process

from mmdckd.engine.saving import checkpoint_folder
from mmdckd.io.latest import find_latest


def resumed_from(runner) -> str:
    """The checkpoint that a run was resumed from."""
    # FlexibleRunner takes the path as `resume` too.
    return runner._load_from or str(runner._resume)


def resume_from_latest(runner) -> None:
    """Where a run is to be resumed from its latest checkpoint, name that: as
    the runner's ``_load_from``, which it reads next, and ``_resume``.

    MMEngine follows ``last_checkpoint``, wherever it leads;
    :func:`~mmdckd.io.latest.find_latest` finds a checkpoint that is whole.

    Args:
        runner (Runner): The runner, which has not loaded yet.
    """
    if (
        not runner._resume
        or isinstance(runner._resume, str)
        or runner._load_from is not None
    ):
        return
    found: List[Optional[str]] = [None]
    if is_main_process():
        found = [find_latest(runner.work_dir, checkpoint_folder(runner))]
    broadcast_object_list(found)
    runner._load_from = found[0]
    # MMEngine would look for itself.
    runner._resume = found[0] is not None
