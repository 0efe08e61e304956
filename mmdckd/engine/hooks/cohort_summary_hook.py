# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os.path as osp
from dataclasses import asdict
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
    """Logs, before the first step, who is in the cohort, what each costs and
    who learns what from whom.

    It is the table that ``tools/print_config.py`` prints, at the size of the
    images that training has. It is kept for ``tools/report.py`` too, in
    ``<work_dir>/<time>/vis_data/cohort_summary.json``, a list of
    :class:`~mmdckd.engine.cohort_summary.Member`. A model that is no cohort
    is left alone.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.CohortSummaryHook')]
    """

    priority = 'LOW'

    def __init__(self) -> None:
        self._done = False

    def before_train(self, runner) -> None:
        """Ask for a summary of the run that begins."""
        self._done = False

    @master_only
    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Log it, once the first images are there."""
        if self._done:
            return
        self._done = True
        model = unwrapped(runner.model)
        if not isinstance(model, CollectiveDistill):
            return
        if data_batch is None or 'inputs' not in data_batch:
            raise ValueError(
                '`train_dataloader.dataset.pipeline` gives no "inputs", but '
                f'{sorted(data_batch or ())}: end it with `dict(type='
                '"PackInputs")`.'
            )
        image = data_batch['inputs']
        # With views of their own, students have a batch each.
        while not isinstance(image, torch.Tensor):
            image = image[0]
        shape = image.shape[-3:]
        members = summarize(model, shape)
        tell(
            'The cohort, for images of '
            f'{" x ".join(map(str, shape))}:\n'
            f'{as_table(members)}',
            runner.logger,
        )
        write_text(
            osp.join(runner.log_dir, 'vis_data', FILE_NAME),
            json.dumps([asdict(member) for member in members]),
        )
