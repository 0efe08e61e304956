# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks that a work folder belongs to the run that is about to resume in it."""

import os.path as osp
from typing import Any, Dict, List

from mmengine.config import Config

from .changes import Changes
from .configs import make_config
from .given_networks import has_other_weights
from .networks import NamedNetwork

#: The keys of a teacher's config that name files.
FILES = ('cfg_path', 'pretrained')


def check_same_run(settings: dict, changes: Changes, path: str, work_dir: str) -> None:
    """Check that a folder is new or belongs to the same run.

    Args:
        settings (dict): The settings of the run.
        changes (Changes): The changes to its config.
        path (str): The config file of the run in the folder, if there is one.
        work_dir (str): The folder.

    Raises:
        ValueError: If it belongs to another run.
    """
    if not osp.isfile(path) or not osp.isfile(osp.join(work_dir, 'last_checkpoint')):
        return
    before, now = Config.fromfile(path), make_config(settings, changes)
    # Images with a digest are compared by it, so that their folder may move.
    known = all(cfg.get('images', {}).get('digest') for cfg in (before, now))
    datasets = [
        _images_of(cfg.train_dataloader.dataset.to_dict(), known)
        for cfg in (before, now)
    ]
    for key, old, new in (
        ('model.architecture', before.model.architecture, now.model.architecture),
        ('model.num_students', before.model.num_students, now.model.num_students),
        ('data', *datasets),
        ('data_preprocessor', before.data_preprocessor, now.data_preprocessor),
        # Training may go on with other random changes, but the exported student
        # gets images as the last run of the command validates and tests them.
        ('image_size', _pipelines(before), _pipelines(now)),
    ):
        if old != new:
            raise _another(work_dir, f'another `{key}`')
    if not _same_teacher(before.model.get('teacher'), now.model.get('teacher')):
        raise _another(work_dir, 'another `teacher`')
    for key, name in (('images', 'data'), ('unlabeled_images', 'unlabeled')):
        old, new = before.get(key), now.get(key)  # earlier versions wrote none
        if not old or not new:
            continue
        if (old.count, old.digest) != (new.count, new.digest):
            counts = f'{old.count:,} in that run, {new.count:,} now'
            raise _another(work_dir, f'other images in `{name}` ({counts})')
        if old.get('labels') != new.get('labels'):
            raise _another(work_dir, f'other labels in `{name}` or `val_data`')


def check_same_weights(teacher: NamedNetwork, path: str, work_dir: str) -> None:
    """Check that a module that is given as the teacher is the one of a run.

    The configs of modules of one class are equal.

    Args:
        teacher (NamedNetwork): The teacher.
        path (str): The file of the run's teacher, if there is one.
        work_dir (str): The folder of the run.

    Raises:
        ValueError: If the run has started with other weights.
    """
    has_started = osp.isfile(osp.join(work_dir, 'last_checkpoint'))
    if has_started and has_other_weights(teacher, path):
        raise _another(work_dir, 'another `teacher`')


def _another(work_dir: str, what: str) -> ValueError:
    return ValueError(
        'Invalid `work_dir`: expected a new folder, or the one of the run to resume, '
        f'got {osp.dirname(work_dir)!r}, whose run has {what}.'
    )


def _images_of(dataset: Dict[str, Any], anywhere: bool) -> Dict[str, Any]:
    """Return the part of a dataset's config that says which images a run uses.

    Args:
        dataset (Dict[str, Any]): The config of a dataset or of one that wraps
            others.
        anywhere (bool): Whether their folder does not matter.
    """
    return {
        key: _images_of(value, anywhere) if isinstance(value, dict) else value
        for key, value in dataset.items()
        if key != 'pipeline' and not (anywhere and key == 'data_root')
    }


def _pipelines(cfg: Config) -> List[Any]:
    """Return how a run prepares images to validate and to test."""
    loaders = (cfg.val_dataloader, cfg.test_dataloader)
    return [loader.dataset.get('pipeline') for loader in loaders]


def _same_teacher(old: Any, new: Any) -> bool:
    """Tell whether two configs are of one teacher, whose files may have moved."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return bool(old == new)
    return old.keys() == new.keys() and all(
        value == new[key] or (key in FILES and _may_be_moved(value, new[key]))
        for key, value in old.items()
    )


def _may_be_moved(old: Any, new: Any) -> bool:
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    if osp.exists(old):
        return osp.realpath(old) == osp.realpath(new)
    return osp.basename(old) == osp.basename(new)
