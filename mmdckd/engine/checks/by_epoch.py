# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Iterator, Tuple

from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmdckd.errors import invalid


def check_by_epoch(runner: Runner) -> None:
    """Check that nothing in a run by iterations waits for the end of an epoch.

    MMEngine treats the whole training as one epoch, and ``by_epoch=True`` is its
    default.

    Args:
        runner (Runner): A runner that is about to train.

    Raises:
        ValueError: If checkpoints are saved by epoch, or a scheduler steps by
            epoch other than after validations.
    """
    if not isinstance(runner.train_loop, IterBasedTrainLoop):
        return
    expected = 'False with `train_cfg.by_epoch=False`'
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.by_epoch and hook.interval > 0:
            hint = ' Checkpoints would only be saved at the end.'
            raise invalid('default_hooks.checkpoint.by_epoch', expected, True, hint)
    for key, scheduler in schedulers_of(runner):
        if scheduler.by_epoch and not getattr(scheduler, 'need_val_args', False):
            hint = f' The {type(scheduler).__name__} would not step before the end.'
            raise invalid(f'{key}.by_epoch', expected, True, hint)


def schedulers_of(runner: Runner) -> Iterator[Tuple[str, Any]]:
    """Yield the parameter schedulers of a run, with their config keys.

    Args:
        runner (Runner): The runner.
    """
    groups = runner.param_schedulers or []
    groups = groups if isinstance(groups, dict) else {'': groups}
    for name, schedulers in groups.items():
        place = f'.{name}' if name else ''
        for index, scheduler in enumerate(schedulers):
            yield f'param_scheduler{place}[{index}]', scheduler
