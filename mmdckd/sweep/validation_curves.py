# Copyright (c) mmdckd contributors. All rights reserved.
"""Record the metrics of every validation of a run."""

from typing import Dict, List, Optional

from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from mmdckd.names import stage_of, without_stage

INFO_KEY = 'benchmark_validations'


class CurvesHook(Hook):
    """Records the metrics of every validation in the message hub.

    So checkpoints contain them, and a resumed run continues with them.
    """

    # After the hooks that publish metrics, before the hook that saves checkpoints.
    priority = 'LOW'

    def after_val_epoch(self, runner, *args, **kwargs) -> None:
        """Record the metrics of the validation."""
        hub = runner.message_hub
        kept = hub.get_info(INFO_KEY, [])
        hub.update_info(
            INFO_KEY,
            [*kept, dict(epoch=epochs_of(runner, runner.iter), **validation_of(hub))],
        )


def epochs_of(runner: Runner, iteration: int) -> float:
    """Return the passes over the training data in a number of iterations.

    MMEngine counts no epochs in a run by iterations.

    Args:
        runner (Runner): The runner that trains, or has trained.
        iteration (int): The number of iterations.

    Returns:
        float: A whole number at the end of an epoch.
    """
    return iteration / len(runner.train_dataloader)


def validation_of(hub: MessageHub) -> Dict[str, float]:
    """Return the metrics of the last validation in a message hub, without
    MMEngine's times.

    Args:
        hub (MessageHub): The message hub of a runner or a checkpoint.

    Returns:
        Dict[str, float]: Name to value; empty without validation.
    """
    return {
        without_stage(key): float(history.current())
        for key, history in hub.log_scalars.items()
        if stage_of(key) == 'val' and without_stage(key) not in ('time', 'data_time')
    }


def curves_of(hub: MessageHub) -> Dict[str, List[Optional[float]]]:
    """Return the records of :class:`CurvesHook`.

    Args:
        hub (MessageHub): The message hub of the runner.

    Returns:
        Dict[str, List[float]]: ``epoch``, the validated epochs, and the values
        of each metric, to five digits; None for an epoch without the metric.
    """
    kept = hub.get_info(INFO_KEY, [])
    keys = dict.fromkeys(key for metrics in kept for key in metrics)
    return {key: [_short(metrics.get(key)) for metrics in kept] for key in keys}


def _short(value: Optional[float]) -> Optional[float]:
    return None if value is None else float(f'{value:.5g}')
