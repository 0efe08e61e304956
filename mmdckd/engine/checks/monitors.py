# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Dict, List, Optional, Tuple

from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop

from mmdckd.engine.unwrapping import unwrapped
from mmdckd.errors import invalid
from mmdckd.evaluation.best_rule import check_monitor
from mmdckd.evaluation.metric_names import metrics_to_come
from mmdckd.models.networks import num_classes_of

from ..loops import CollectiveValLoop
from .by_epoch import schedulers_of


def check_monitors(runner: Runner, metrics: Optional[Dict[str, Any]] = None) -> bool:
    """Check that every metric a run depends on will exist.

    These are ``save_best`` of ``CheckpointHook``, and ``monitor`` of hooks,
    schedulers and the validation loop. The names of the metrics are found by
    evaluating made-up predictions. The log says by which metric the best
    student is chosen.

    Args:
        runner (Runner): A runner that is about to train, or has validated.
        metrics (Dict[str, Any], optional): The result of a validation. Defaults
            to None, which means what validation will return.

    Returns:
        bool: Whether the names of the metrics are known.

    Raises:
        ValueError: If a metric will not exist, is not one number, or there is
            no validation, or the first validation would be after the end of the
            training. The message lists the metrics that exist.
    """
    followed, saved = _followed(runner), _saved(runner)
    loop = runner.val_loop
    if loop is None:
        for key, name in followed:
            raise ValueError(
                f'Invalid `{key}`: expected no metric, because the run does not '
                f'validate, got {name!r}. Set `val_dataloader`, `val_cfg` and '
                '`val_evaluator`, or remove it.'
            )
        return True
    if isinstance(runner._train_loop, BaseLoop):  # otherwise it is not built
        _check_begin(runner)
    if metrics is not None:
        values: Optional[Dict[str, Any]] = metrics
    elif isinstance(loop, CollectiveValLoop):
        values = loop.metrics_to_come()
    else:
        num_classes = num_classes_of(unwrapped(runner.model)) or 10
        values = metrics_to_come(loop.evaluator, num_classes)
    if values is None:
        return False
    for key, name in followed + saved:
        check_monitor(name, values, key)
    if isinstance(loop, CollectiveValLoop) and loop.best_rule is not None:
        runner.logger.info(str(loop.best_rule))
    return True


def _check_begin(runner: Runner) -> None:
    loop = runner.train_loop
    by_iteration = isinstance(loop, IterBasedTrainLoop)
    end = runner.max_iters if by_iteration else runner.max_epochs
    begin = getattr(loop, 'val_begin', 1)
    if begin > end:
        expected = f'at most {end}, the end of training'
        hint = ' The run would never validate.'
        raise invalid('train_cfg.val_begin', expected, begin, hint)


def _followed(runner: Runner) -> List[Tuple[str, str]]:
    """Return the metrics that influence the training, with their config keys."""
    found = []
    for hook in runner.hooks:
        monitor = getattr(hook, 'monitor', None)
        if isinstance(monitor, str):
            found.append((f'{type(hook).__name__}.monitor', monitor))
    for key, scheduler in schedulers_of(runner):
        monitor = getattr(scheduler, 'monitor', None)
        if isinstance(monitor, str):
            found.append((f'{key}.monitor', monitor))
    return found


def _saved(runner: Runner) -> List[Tuple[str, str]]:
    """Return the metrics that decide which checkpoints are kept."""
    return [
        ('default_hooks.checkpoint.save_best', name)
        for hook in runner.hooks
        if isinstance(hook, CheckpointHook) and hook.save_best
        for name in hook.key_indicators
        if name != 'auto'
    ]
