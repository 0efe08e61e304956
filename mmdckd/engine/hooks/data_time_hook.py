# Copyright (c) mmdckd contributors. All rights reserved.
import os
from typing import Optional

from mmengine.hooks import Hook

from mmdckd.console.messages import warn
from mmdckd.names import with_stage
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class DataTimeHook(Hook):
    """Warns if training waits for data.

    It warns once, as soon as iterations spend too large a share of their time
    waiting for their batch (20% over 100 iterations). The iterations in which
    workers start, at the beginning of the run, do not count.

    The times come from MMEngine's ``IterTimerHook``, a default hook; without it
    there is no warning.

    Examples:
        >>> default_hooks = dict(data_time=dict(type='mmdckd.DataTimeHook'))
    """

    # After IterTimerHook, before LoggerHook.
    priority = 'NORMAL'
    PASSED_OVER = 10
    #: The share, 0 to 1, from which it warns.
    MOST = 0.2
    #: The number of iterations that the share is computed over.
    INTERVAL = 100

    def before_train(self, runner) -> None:
        """Reset the times."""
        self._number = -self.PASSED_OVER
        self._waited = self._took = 0.0
        self._warned = False

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Add the times, and warn if the share is too large."""
        hub = runner.message_hub
        if self._warned or with_stage('train', 'data_time') not in hub.log_scalars:
            return
        self._number += 1
        if self._number <= 0:
            return
        self._waited += hub.get_scalar(with_stage('train', 'data_time')).current()
        self._took += hub.get_scalar(with_stage('train', 'time')).current()
        if self._number < self.INTERVAL:
            return
        share = self._waited / self._took
        if share >= self.MOST:
            self._warned = True
            workers = runner.train_dataloader.num_workers
            warn(
                f'The last {self.INTERVAL} iterations spent {share:.0%} of their '
                'time waiting for data. '
                f'`train_dataloader.num_workers` is {workers} and this '
                f'machine has {os.cpu_count()} cores: increase it, with '
                '`persistent_workers=True`, or simplify '
                '`train_dataloader.dataset.pipeline`.',
                runner.logger,
            )
        self._number = 0
        self._waited = self._took = 0.0
