# Copyright (c) mmdckd contributors. All rights reserved.
"""Finds the checkpoint that a run resumes from."""

from typing import List, Optional

from mmengine.dist import broadcast_object_list, is_main_process

from mmdckd.engine.saving import checkpoint_folder
from mmdckd.io.latest import find_latest


def resumed_from(runner) -> str:
    """Return the checkpoint that a run was resumed from."""
    # FlexibleRunner also takes the path as `resume`.
    return runner._load_from or str(runner._resume)


def resume_from_latest(runner, otherwise: Optional[str] = None) -> None:
    """Find the latest checkpoint of a run that resumes without naming one.

    It is set as the runner's ``_load_from`` and ``_resume``, which the runner
    reads next. MMEngine follows ``last_checkpoint``, wherever it points;
    :func:`~mmdckd.io.latest.find_latest` returns a checkpoint that is complete.

    Args:
        runner (Runner): The runner, before it loads.
        otherwise (str, optional): A checkpoint whose weights a run starts from if
            it has none of its own. Defaults to None.
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
    runner._load_from = found[0] or otherwise
    # Otherwise MMEngine would search itself.
    runner._resume = found[0] is not None
