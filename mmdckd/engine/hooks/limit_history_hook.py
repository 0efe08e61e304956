# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

from mmengine.hooks import Hook

from mmdckd.registry import HOOKS


@HOOKS.register_module()
class LimitHistoryHook(Hook):
    """Keeps the latest values alone of what is logged.

    MMEngine's message hub keeps the last million values of every scalar, and
    copies them all to add another: a cohort, which logs dozens, takes more
    memory and more time every iteration, and so do its checkpoints. What is
    written to files is not concerned.

    Args:
        max_length (int): How many values to keep, at least as many as the
            largest window of the log processor has: the console shows means
            over ``window_size`` (10) values. Defaults to 1000.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.LimitHistoryHook')]
    """

    def __init__(self, max_length: int = 1000) -> None:
        self.max_length = max_length

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Limit what there is; each shortens itself with its next value."""
        for history in runner.message_hub.log_scalars.values():
            history.max_length = self.max_length
