# Copyright (c) mmdckd contributors. All rights reserved.
"""The metrics of every validation of a run."""

from typing import Dict, List, Optional

from mmengine.hooks import Hook
from mmengine.logging import MessageHub

from mmdckd.names import stage_of, without_stage

INFO_KEY = 'benchmark_validations'


class CurvesHook(Hook):
    """Keeps the metrics of every validation in the message hub.

    They are in the checkpoints then, and a run that is resumed goes on with
    them.
    """

    # After what publishes metrics, before what saves a checkpoint.
    priority = 'LOW'

    def after_val_epoch(self, runner, *args, **kwargs) -> None:
        """Keep the metrics of the validation."""
        hub = runner.message_hub
        kept = hub.get_info(INFO_KEY, [])
        hub.update_info(
            INFO_KEY, [*kept, dict(epoch=float(runner.epoch), **validation_of(hub))]
        )


def validation_of(hub: MessageHub) -> Dict[str, float]:
    """The metrics of the last validation that a message hub knows of, but for
    the times that MMEngine keeps with them.

    Args:
        hub (MessageHub): That of a runner, or of a checkpoint.

    Returns:
        Dict[str, float]: By name; empty without validation.
    """
    return {
        without_stage(key): float(history.current())
        for key, history in hub.log_scalars.items()
        if stage_of(key) == 'val' and without_stage(key) not in ('time', 'data_time')
    }


def curves_of(hub: MessageHub) -> Dict[str, List[Optional[float]]]:
    """What :class:`CurvesHook` has kept.

    Args:
        hub (MessageHub): That of the runner.

    Returns:
        Dict[str, List[float]]: ``epoch``, the epochs that were validated, and
        each metric after them, to five digits; None where there was none.
    """
    kept = hub.get_info(INFO_KEY, [])
    keys = dict.fromkeys(key for metrics in kept for key in metrics)
    return {key: [_short(metrics.get(key)) for metrics in kept] for key in keys}


def _short(value: Optional[float]) -> Optional[float]:
    return None if value is None else float(f'{value:.5g}')
