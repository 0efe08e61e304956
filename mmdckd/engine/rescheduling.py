# Copyright (c) mmdckd contributors. All rights reserved.
"""Learning rates of a resumed run whose schedule has changed."""

import warnings
from bisect import bisect
from typing import Any, Dict, List

from mmengine.runner import EpochBasedTrainLoop
from mmengine.runner.utils import calc_dynamic_intervals

from mmdckd.names import with_stage

from .checks.by_epoch import schedulers_of


def check_optimizer(before: dict, now: dict) -> None:
    """Check that an optimizer state fits another optimizer.

    Args:
        before (dict): The state dict in the checkpoint.
        now (dict): The state dict of the optimizer to resume.

    Raises:
        ValueError: If their parameters differ.
    """
    if 'param_groups' not in now:  # several optimizers, by name
        if before.keys() != now.keys():
            raise ValueError(
                f'Invalid `optim_wrapper`: expected the optimizers of the checkpoint, '
                f'{sorted(before)}, got {sorted(now)}. Resume with the same ones.'
            )
        for name in now:
            check_optimizer(before[name], now[name])
        return
    one, other = (
        [len(group['params']) for group in state['param_groups']]
        for state in (before, now)
    )
    if one != other:
        raise ValueError(
            f'Invalid `resume`: expected an optimizer with {sum(one)} parameters in '
            f'{len(one)} groups, as in the checkpoint, got {sum(other)} in '
            f'{len(other)}. Resume with the same students (`model.num_students`, '
            '`model.students`), teacher (`model.teacher_trainable`), losses and '
            '`optim_wrapper.paramwise_cfg`. To train something else from these '
            'weights, set `load_from` instead of `resume`.'
        )


def take_settings(before: dict, now: dict) -> None:
    """Copy the settings of an optimizer (learning rate, weight decay, ...) into
    the state of another.

    Args:
        before (dict): The state dict in the checkpoint, changed in place.
        now (dict): The state dict of an optimizer that has not stepped yet.
    """
    if 'param_groups' not in now:
        for name in now:
            take_settings(before[name], now[name])
        return
    for key in ('param_groups', 'base_param_settings'):
        if key in now:
            before[key] = now[key]


def fast_forward(runner, train_cfg: Dict[str, Any]) -> None:
    """Step the schedulers of a run as often as if it had trained from the start.

    Args:
        runner (Runner): The runner; its schedulers have not stepped yet, and
            its loop is at the iteration of the checkpoint.
        train_cfg (dict): ``train_cfg`` of the run that is resumed, which tells
            when it validated.
    """
    schedulers = [scheduler for _, scheduler in schedulers_of(runner)]
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    length = 1
    if by_epoch:
        length = epoch_length(loop.epoch, loop.iter, len(loop.dataloader))
    end = loop.epoch if by_epoch else loop.iter
    times = _validations(runner, train_cfg, end, length, 1 if by_epoch else 1000)
    scores = {
        scheduler: _scores(runner, scheduler, times)
        for scheduler in schedulers
        if scheduler.by_epoch and getattr(scheduler, 'need_val_args', False)
    }
    with warnings.catch_warnings():
        # PyTorch warns that the schedulers step before the optimizer.
        warnings.simplefilter('ignore')
        for iteration in range(1, loop.iter + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
            time, rest = divmod(iteration, length)
            # An epoch that was interrupted after its last step has not ended.
            if rest or time > end:
                continue
            for scheduler in schedulers:
                if scheduler.by_epoch and by_epoch:
                    scheduler.step()
            for scheduler, score in scores.items():
                if time in score:
                    scheduler.step({scheduler.monitor: score[time]})


def epoch_length(epoch: int, iteration: int, length: int) -> int:
    """Estimate the iterations of an epoch of a run from one of its checkpoints.

    They differ from those of this run with another batch size or number of
    processes. Older versions did not record them, so they are estimated such
    that the epochs of the checkpoint end before its iteration.

    Args:
        epoch (int): The number of epochs before the checkpoint.
        iteration (int): The number of iterations before it.
        length (int): The iterations of an epoch of this run, which are returned
            if they are possible.

    Returns:
        int: The iterations of an epoch.
    """
    if epoch * length <= iteration <= (epoch + 1) * length:
        return length
    return iteration // epoch if epoch else iteration + 1


def _validations(
    runner, train_cfg: Dict[str, Any], end: int, length: int, interval: int
) -> List[int]:
    """Return the times of the validations so far, in epochs or iterations.

    Args:
        runner (Runner): The runner.
        train_cfg (dict): ``train_cfg`` of the run that is resumed.
        end (int): The time of the checkpoint.
        length (int): The iterations of an epoch, or 1.
        interval (int): The default of ``val_interval``.
    """
    starts, intervals = calc_dynamic_intervals(
        train_cfg.get('val_interval', interval), train_cfg.get('dynamic_intervals')
    )
    begin = train_cfg.get('val_begin', 1)
    times = [
        time
        for time in range(max(begin, 1), end + 1)
        # As the loops of MMEngine decide, which start an interval one earlier.
        if time % intervals[bisect(starts, time + 1) - 1] == 0
    ]
    last = runner.message_hub.get_info('last_val_iter')
    if last is None:
        return times
    # The last one of a run need not be a multiple of the interval. One that an
    # interruption prevented is still to come.
    last = min(last // length, end)
    return [time for time in times if time < last] + [last]


def _scores(runner, scheduler: Any, times: List[int]) -> Dict[int, float]:
    """Return what a scheduler received at each validation; the message hub may
    have dropped the first ones."""
    history = runner.message_hub.log_scalars.get(with_stage('val', scheduler.monitor))
    values = [] if history is None else [*history.data[0]]
    values = values[-len(times) :] if times else []
    return dict(zip(times[len(times) - len(values) :], values))
