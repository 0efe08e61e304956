# Copyright (c) mmdckd contributors. All rights reserved.
import os
from typing import Optional

from mmengine.hooks import Hook

from mmdckd.console.messages import warn
from mmdckd.names import with_stage
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class DataTimeHook(Hook):
    """Warns where training waits for data.

    The first time that iterations spend too large a share of their time
    waiting for their batch (20% of 100 iterations), a warning says so, with the
    share. The iterations in which workers start, at the beginning of
    the run, do not count.

    The times are those of MMEngine's ``IterTimerHook``, one of the default
    hooks; where a run is without it, nothing warns.

    Examples:
        >>> default_hooks = dict(data_time=dict(type='mmdckd.DataTimeHook'))
    """

    # After IterTimerHook, before LoggerHook.
    priority = 'NORMAL'
    PASSED_OVER = 10
    #: The share, 0 to 1, from which on it warns.
    MOST = 0.2
    #: How many iterations it is the share of.
    INTERVAL = 100

    def before_train(self, runner) -> None:
        """Begin anew."""
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
        """Add up the times, and say what share they have."""
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
                f'{share:.0%} of the time of the last {self.INTERVAL} '
                'iterations went by waiting for data. '
                f'`train_dataloader.num_workers` is {workers}, and this '
                f'machine has {os.cpu_count()} cores: set it higher, with '
                '`persistent_workers=True`, or have less done in '
                '`train_dataloader.dataset.pipeline`.',
                runner.logger,
            )
        self._number = 0
        self._waited = self._took = 0.0
