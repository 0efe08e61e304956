# Copyright (c) mmdckd contributors. All rights reserved.
"""Saving the checkpoints of a run whole, and finding the one to resume."""
import os.path as osp
from typing import Any, List, Optional

from mmengine.dist import broadcast_object_list, is_main_process, master_only
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook

from mmdckd.io.files import replacing
from mmdckd.io.latest import find_latest


@master_only
def save_whole(runner, folder: str, name: str, **kwargs: Any) -> None:
    """Save a checkpoint of a run whole or not at all.

    Args:
        runner (Runner): The runner.
        folder (str): The folder of the checkpoint. A file in the storage of
            another file backend is written by that backend.
        name (str): The name of the file.
        **kwargs: Passed to ``Runner.save_checkpoint``.
    """
    backend = get_file_backend(folder, backend_args=kwargs.get('backend_args'))
    if not isinstance(backend, LocalBackend):
        runner.save_checkpoint(folder, name, **kwargs)
        return
    with replacing(osp.join(folder, name)) as path:
        runner.save_checkpoint(*osp.split(path), **kwargs)


def checkpoint_hook(runner) -> Optional[CheckpointHook]:
    """The hook of a run that saves checkpoints, the first if there are
    several."""
    return next(
        (hook for hook in runner.hooks if isinstance(hook, CheckpointHook)),
        None)


def checkpoint_folder(runner) -> str:
    """The folder that the checkpoints of a run are saved in."""
    hook = checkpoint_hook(runner)
    folder = hook.out_dir if hook is not None else None
    work_dir = runner.work_dir
    if folder is None or folder == work_dir or hasattr(hook, 'file_backend'):
        return folder or work_dir
    # As MMEngine does before training.
    return osp.join(folder, osp.basename(work_dir.rstrip(osp.sep)))


def resumed_from(runner) -> str:
    """The checkpoint that a run was resumed from."""
    # FlexibleRunner takes the path as `resume` too.
    return runner._load_from or str(runner._resume)


def resume_from_latest(runner) -> None:
    """Where a run is to be resumed from its latest checkpoint, name that.

    MMEngine follows ``last_checkpoint``, wherever it leads;
    :func:`~mmdckd.io.latest.find_latest` finds a checkpoint that is whole.

    Args:
        runner (Runner): The runner, which has not loaded yet.
    """
    if (not runner._resume or isinstance(runner._resume, str)
            or runner._load_from is not None):
        return
    found: List[Optional[str]] = [None]
    if is_main_process():
        found = [find_latest(runner.work_dir, checkpoint_folder(runner))]
    broadcast_object_list(found)
    runner._load_from = found[0]
    # MMEngine would look for itself.
    runner._resume = found[0] is not None
