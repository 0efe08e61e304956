# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

from mmengine.hooks import Hook

from mmdckd.errors import invalid
from mmdckd.registry import HOOKS
from mmdckd.values import is_whole


@HOOKS.register_module()
class LimitHistoryHook(Hook):
    """Keeps only the latest logged values in memory.

    MMEngine's message hub keeps the last million values of every scalar, and
    copies all of them to append another. A cohort logs dozens of scalars, so
    memory and time per iteration grow, and checkpoints too. Values that are
    written to files are not affected.

    Args:
        max_length (int): The number of values to keep, at least the largest
            window of the log processor: the console shows means over
            ``window_size`` (10) values. Defaults to 1000.

    Raises:
        ValueError: If ``max_length`` is not a positive integer.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.LimitHistoryHook')]
    """

    def __init__(self, max_length: int = 1000) -> None:
        if not is_whole(max_length, least=1):
            raise invalid(
                'LimitHistoryHook.max_length', 'a positive integer', max_length
            )
        self.max_length = max_length

    def before_train_iter(
        self, runner, batch_idx: int, data_batch: Optional[dict] = None
    ) -> None:
        """Limit the histories; each shortens itself with its next value."""
        for history in runner.message_hub.log_scalars.values():
            history.max_length = self.max_length
