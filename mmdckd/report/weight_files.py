# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the files of the weights that a run has chosen."""

import os
import os.path as osp
import re
from typing import Optional

from mmdckd.console.messages import warn
from mmdckd.io.latest import pointed_to
from mmdckd.models.weights import read_checkpoint

from .recorded_run import RecordedRun


def chosen_checkpoint(run: RecordedRun) -> Optional[str]:
    """Return the checkpoint of the best validation, which is ``best.pth`` with
    ``save_best``; None if it was not kept."""
    assert run.best is not None and run.rules is not None
    hook = (run.config.get('default_hooks') or {}).get('checkpoint') or {}
    usual = 'iter_{}.pth' if run.by_iteration else 'epoch_{}.pth'
    template = str(hook.get('filename_tmpl') or usual)
    name = osp.basename(template.replace('{}', str(run.best.step)))
    kept = osp.join(run.folder, f'best_{run.rules.key}'.replace('/', '_') + f'_{name}')
    if osp.isfile(kept):
        stable = osp.join(run.folder, 'best.pth')
        return stable if osp.isfile(stable) else kept
    path = osp.join(run.folder, name)
    return path if osp.isfile(path) else None


def last_checkpoint(run: RecordedRun) -> Optional[str]:
    """Return the newest checkpoint of a run, or None."""
    path = osp.join(run.folder, osp.basename(pointed_to(run.folder)))
    return path if osp.isfile(path) else None


def exported_config(run: RecordedRun) -> Optional[str]:
    """Return the exported config of the best student, if there is one.

    ``ExportStudentHook``, ``mmdckd export`` and ``mmdckd train --data`` export
    students.
    """
    assert run.best is not None
    student, step = run.best.student, run.best.step
    inside = os.listdir(run.folder) if osp.isdir(run.folder) else []
    starts = tuple(name for name in inside if re.fullmatch(r'\d{8}_\d{6}', name))
    for folder in (
        osp.join(run.folder, 'export'),
        osp.join(run.folder, 'exported'),
        osp.join(run.folder, osp.pardir, 'exported'),
    ):
        path, config = (
            osp.normpath(osp.join(folder, f'{student}.{ending}'))
            for ending in ('pth', 'py')
        )
        if not (osp.isfile(path) and osp.isfile(config)):
            continue
        try:
            meta = read_checkpoint(path, 'exported').get('meta')
        except ValueError as error:
            warn(f'The report does not use this export. {error}')
            continue
        if not isinstance(meta, dict):
            continue
        # MMEngine names an experiment after its config and start time.
        name = str(meta.get('experiment_name'))
        own = name == run.config.get('experiment_name') or name.endswith(starts)
        counted = meta.get('iter' if run.by_iteration else 'epoch')
        if own and (meta.get('student'), counted) == (student, step):
            return config
    return None
