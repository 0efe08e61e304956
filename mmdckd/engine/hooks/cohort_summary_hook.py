# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os.path as osp
from dataclasses import asdict, replace
from typing import Optional

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook

from mmdckd.console.messages import tell
from mmdckd.engine.cohort_summary import as_table, summarize
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.io.files import write_text
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.registry import HOOKS

FILE_NAME = 'cohort_summary.json'


@HOOKS.register_module()
class CohortSummaryHook(Hook):
    """Logs the members of the cohort, their cost, and who learns what from whom.

    This is the table that ``mmdckd show`` prints, for the image size of the
    training, logged before the first step. It is also saved for ``mmdckd
    report`` in ``<work_dir>/<time>/vis_data/cohort_summary.json``, as a list of
    :class:`~mmdckd.engine.cohort_summary.Member`. It does nothing for a model
    without a cohort.

    Attributes:
        only_student (str, optional): What the table calls the only student, as
            name and role; the file does not. None means its own name and role.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.CohortSummaryHook')]
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self.only_student: Optional[str] = None
        self._done = False

    def before_train(self, runner) -> None:
        """Request a summary for the run that begins."""
        self._done = False

    @master_only
    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Log the summary once the first images are loaded."""
        if self._done:
            return
        self._done = True
        model = unwrapped(runner.model)
        if not isinstance(model, CollectiveDistill):
            return
        if data_batch is None or 'inputs' not in data_batch:
            raise ValueError(
                'Invalid `train_dataloader.dataset.pipeline`: expected "inputs" in '
                f'its result, got {sorted(data_batch or ())}. End it with '
                '`dict(type="PackInputs")`.'
            )
        image = data_batch['inputs']
        # If each student sees its own view, there is one batch per student.
        while not isinstance(image, torch.Tensor):
            image = image[0]
        shape = image.shape[-3:]
        members = summarize(model, shape)
        shown = members
        if self.only_student is not None:
            called = self.only_student
            shown = [replace(member, name=called, role=called) for member in members]
        tell(
            'The cohort, for images of '
            f'{" x ".join(map(str, shape))}:\n'
            f'{as_table(shown)}',
            runner.logger,
        )
        write_text(
            osp.join(runner.log_dir, 'vis_data', FILE_NAME),
            json.dumps([asdict(member) for member in members]),
        )
