# Copyright (c) mmdckd contributors. All rights reserved.
"""Saves the checkpoints of a run atomically."""

import hashlib
import os.path as osp
import pickle
from contextlib import suppress
from typing import Any, Dict, Iterable, Optional, Sequence

from mmengine.dist import is_main_process, master_only
from mmengine.fileio import BaseStorageBackend, LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop, save_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mmdckd.engine.unwrapping import unwrapped
from mmdckd.io.config_text import as_plain, check_values
from mmdckd.io.files import copy_file, replacing
from mmdckd.models.cohorts import StudentCohort


def save_whole(runner, folder: str, name: str, **kwargs: Any) -> None:
    """Save a checkpoint of a run completely or not at all.

    All processes must call it. The main process writes the file.

    Args:
        runner (Runner): The runner.
        folder (str): The folder of the checkpoint. If another file backend
            stores it, that backend writes the file.
        name (str): The name of the file.
        **kwargs: Passed to ``Runner.save_checkpoint``.
    """
    backend = get_file_backend(folder, backend_args=kwargs.get('backend_args'))
    if not isinstance(backend, LocalBackend) or not is_main_process():
        runner.save_checkpoint(folder, name, **kwargs)
        return
    with replacing(osp.join(folder, name)) as path:
        runner.save_checkpoint(*osp.split(path), **kwargs)


def student_configs(model: nn.Module) -> Dict[str, dict]:
    """Return every student's config, which MMPretrain alone can build.

    Checkpoints store it as ``meta['students']`` for
    :func:`~mmdckd.export.export_student`, because the file that ``cfg_path``
    names may change or disappear.

    Args:
        model (nn.Module): The model of a run.

    Returns:
        Dict[str, dict]: The configs by name, ``data_preprocessor`` included;
        empty if the model has no cohort. A config that holds objects other than
        plain values is left out, because checkpoints hold only these.
    """
    model = unwrapped(model)
    cohort = getattr(model, 'cohort', None)
    configs: Dict[str, dict] = {}
    if not isinstance(cohort, StudentCohort):
        return configs
    for name, config in cohort.configs.items():
        if cohort.data_preprocessor_cfg is not None:
            config = dict(config, data_preprocessor=cohort.data_preprocessor_cfg)
        plain = as_plain(config)
        with suppress(ValueError):
            check_values(plain, name)
            configs[name] = plain
    return configs


@master_only
def publish(
    runner, path: str, keys: Sequence[str], backend_args: Optional[dict]
) -> None:
    """Write the published version of a checkpoint, named as MMEngine does.

    Args:
        runner (Runner): The runner.
        path (str): The checkpoint.
        keys (Sequence[str]): The entries to publish.
        backend_args (dict, optional): Arguments of the file backend.
    """
    checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu')
    removed = [key for key in checkpoint if key not in keys]
    for key in removed:
        del checkpoint[key]
    digest = hashlib.sha256(pickle.dumps(checkpoint)).hexdigest()
    target = f'{osp.splitext(path)[0]}-{digest[:8]}.pth'
    if isinstance(get_file_backend(target, backend_args=backend_args), LocalBackend):
        with replacing(target) as beside:
            save_checkpoint(checkpoint, beside)
    else:
        save_checkpoint(checkpoint, target, backend_args=backend_args)
    runner.logger.info(
        f'The checkpoint ({path}) is published to {target}, without {removed}.'
    )


@master_only
def give_name(backend: BaseStorageBackend, path: str, name: str) -> None:
    """Give a file a second name.

    Args:
        backend (BaseStorageBackend): The storage of the file.
        path (str): The file.
        name (str): The second path.
    """
    if isinstance(backend, LocalBackend):
        copy_file(path, name, link=True)
    else:
        backend.put(backend.get(path), name)


def remove_files(runner, backend: BaseStorageBackend, paths: Iterable[str]) -> None:
    """Remove files of a run if they exist, and log it.

    Args:
        runner (Runner): The runner.
        backend (BaseStorageBackend): The storage of the files.
        paths (Iterable[str]): The files.
    """
    for path in paths:
        if is_main_process() and backend.isfile(path):
            backend.remove(path)
            runner.logger.info(f'{osp.basename(path)} is removed.')


def leave_names(info: Dict[str, Any]) -> None:
    """Replace paths of checkpoints by file names, in place, in the runtime info
    of a message hub."""
    for key, value in info.items():
        if key == 'last_ckpt' or key.startswith('best_ckpt'):
            info[key] = value and osp.basename(value)


def bring(backend: BaseStorageBackend, source: str, path: str) -> bool:
    """Copy a file from the folder of another run if this run does not have it.

    Args:
        backend (BaseStorageBackend): The storage that the run saves to.
        source (str): The file of the other run.
        path (str): The path in the folder of this run.

    Returns:
        bool: Whether the file exists.
    """
    if not isinstance(backend, LocalBackend):
        return backend.isfile(path)
    if is_main_process() and not osp.isfile(path) and osp.isfile(source):
        copy_file(source, path)
    return osp.isfile(path) or osp.isfile(source)


def checkpoint_hook(runner) -> Optional[CheckpointHook]:
    """Return the hook of a run that saves checkpoints, the first if there are
    several."""
    return next(
        (hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None
    )


def saves_at(runner, hook: CheckpointHook, time: int) -> bool:
    """Tell whether a hook saves a checkpoint after an epoch, in a run by iterations
    after an iteration, other than by ``save_last``.

    Args:
        runner (Runner): A runner whose training loop is built.
        hook (CheckpointHook): The hook.
        time (int): The number of epochs, or iterations, so far.
    """
    loop = runner.train_loop
    in_unit = hook.by_epoch or isinstance(loop, IterBasedTrainLoop)
    since = time * (1 if in_unit else len(loop.dataloader)) - hook.save_begin
    return hook.interval > 0 and since >= 0 and since % hook.interval == 0


def checkpoint_folder(runner) -> str:
    """Return the folder that a run saves its checkpoints in."""
    hook = checkpoint_hook(runner)
    folder = hook.out_dir if hook is not None else None
    work_dir = runner.work_dir
    if folder is None or folder == work_dir or hasattr(hook, 'file_backend'):
        return folder or work_dir
    # The same as MMEngine does before training.
    return osp.join(folder, osp.basename(work_dir.rstrip(osp.sep)))
