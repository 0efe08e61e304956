# Copyright (c) mmdckd contributors. All rights reserved.
from bisect import bisect
from typing import Optional

from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.runner import IterBasedTrainLoop, Runner

from ..saving import saves_at


def check_early_stops(runner: Runner) -> None:
    """Check that ``EarlyStoppingHook`` stops where a checkpoint is saved.

    ``save_last`` of MMEngine's ``CheckpointHook`` means the last epoch of the config:
    it saves nothing where the training is stopped.

    Args:
        runner (Runner): A runner that is about to train.

    Raises:
        ValueError: If the training may stop after an epoch, or iteration, that is
            not saved.
    """
    if not any(isinstance(hook, EarlyStoppingHook) for hook in runner.hooks):
        return
    saving = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    for hook in saving:
        if type(hook) is not CheckpointHook or not hook.save_last:
            return
    places = [_unsaved(runner, hook) for hook in saving]
    if places and None not in places:
        raise ValueError(
            "Invalid `default_hooks.checkpoint`: expected type='mmdckd."
            "CohortCheckpointHook' with `EarlyStoppingHook`, got CheckpointHook, which "
            f'saves nothing where the training is stopped, such as after {places[0]}. '
            'Otherwise, set `interval=1`, or `save_last=False` to do without.'
        )


def _unsaved(runner: Runner, hook: CheckpointHook) -> Optional[str]:
    """Return the first validation before the end whose weights are not saved."""
    loop = runner.train_loop
    by_iteration = isinstance(loop, IterBasedTrainLoop)
    end = runner.max_iters if by_iteration else runner.max_epochs
    starts, intervals = loop.dynamic_milestones, loop.dynamic_intervals
    for time in range(max(loop.val_begin, 1), end):
        # As the loops of MMEngine decide, which start an interval one earlier.
        validates = time % intervals[bisect(starts, time + 1) - 1] == 0
        if validates and not saves_at(runner, hook, time):
            return f'{"iteration" if by_iteration else "epoch"} {time}'
    return None
