# Copyright (c) mmdckd contributors. All rights reserved.
"""The learning rates of a resumed run whose schedule has changed."""

import warnings
from typing import Any, Dict, List

from mmengine.runner import EpochBasedTrainLoop

from mmdckd.names import with_stage


def check_optimizer(before: dict, now: dict) -> None:
    """Check that the state of an optimizer is that of another.

    Args:
        before (dict): The state dict in the checkpoint.
        now (dict): That of the optimizer to resume.

    Raises:
        ValueError: If they have other parameters.
    """
    if 'param_groups' not in now:  # several optimizers, by name
        if before.keys() != now.keys():
            raise ValueError(
                f'`optim_wrapper`: the checkpoint has {sorted(before)}, and '
                f'the config {sorted(now)}. Resume with the same.'
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
            'The checkpoint cannot be resumed: its optimizer has '
            f'{sum(one)} parameters in {len(one)} groups, and that of the '
            f'config {sum(other)} in {len(other)}. A run resumes with the '
            'same students (`model.num_students`, `model.students`), teacher '
            '(`model.teacher_trainable`), losses and '
            '`optim_wrapper.paramwise_cfg`. To train others from these '
            'weights, give `load_from` in place of `resume`.'
        )


def take_settings(before: dict, now: dict) -> None:
    """Put the settings of an optimizer (learning rate, weight decay, ...)
    into the state of another.

    Args:
        before (dict): The state dict in the checkpoint, which is changed.
        now (dict): That of an optimizer that has not stepped.
    """
    if 'param_groups' not in now:
        for name in now:
            take_settings(before[name], now[name])
        return
    for key in ('param_groups', 'base_param_settings'):
        if key in now:
            before[key] = now[key]


def fast_forward(runner, train_cfg: Dict[str, Any]) -> None:
    """Step the schedulers of a run as often as if it had trained from the
    beginning.

    Args:
        runner (Runner): The runner; its schedulers have not stepped, and its
            loop is where the checkpoint was saved.
        train_cfg (dict): ``train_cfg`` of the run that is resumed, which says
            when it was validated.
    """
    schedulers = _as_list(runner.param_schedulers)
    loop = runner.train_loop
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    length = len(loop.dataloader) if by_epoch else 1
    # Times, in epochs or iterations, of the validations until now.
    interval = train_cfg.get('val_interval', 1 if by_epoch else 1000)
    end = loop.epoch if by_epoch else loop.iter
    times = [
        time
        for time in range(1, end + 1)
        if time >= train_cfg.get('val_begin', 1) and time % interval == 0
    ]
    scores = {
        scheduler: _scores(runner, scheduler, times)
        for scheduler in schedulers
        if getattr(scheduler, 'need_val_args', 0)
    }
    with warnings.catch_warnings():
        # That schedulers step before the optimizer.
        warnings.simplefilter('ignore')
        for iteration in range(1, loop.iter + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()
            if iteration % length:
                continue
            time = iteration // length
            for scheduler in schedulers:
                if scheduler.by_epoch and by_epoch:
                    scheduler.step()
            for scheduler, score in scores.items():
                if time in score:
                    scheduler.step({scheduler.monitor: score[time]})


def _as_list(schedulers: Any) -> List[Any]:
    if isinstance(schedulers, dict):
        return [each for name in schedulers for each in schedulers[name]]
    return list(schedulers or ())


def _scores(runner, scheduler: Any, times: List[int]) -> Dict[int, float]:
    """What a scheduler was told at each validation; the message hub may have
    forgotten the first ones."""
    history = runner.message_hub.log_scalars.get(with_stage('val', scheduler.monitor))
    values = [] if history is None else [*history.data[0]]
    values = values[-len(times) :] if times else []
    return dict(zip(times[len(times) - len(values) :], values))
