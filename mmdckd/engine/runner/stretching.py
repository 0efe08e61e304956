# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any

from mmengine.config import Config

from mmdckd.errors import invalid
from mmdckd.values import is_finite_number

#: Settings of a loop or scheduler that count epochs or iterations.
_LENGTHS = (
    'max_epochs',
    'max_iters',
    'val_begin',
    'begin',
    'end',
    'T_max',
    'total_iters',
    'total_steps',
    'step_size',
    'milestones',
    'periods',
)


def stretch_training(cfg: Config, times: Any, key: str) -> None:
    """Make a training and its learning rate schedules longer.

    Args:
        cfg (Config): The config of the training, changed in place.
        times (float): How many times as long they become.
        key (str): The config key of ``times``, for the error message.

    Raises:
        ValueError: If ``times`` is not a number more than 0.
    """
    if not is_finite_number(times) or times <= 0:
        raise invalid(key, 'a number more than 0', times)

    def stretch(part: dict) -> None:
        for name in _LENGTHS:
            length = part.get(name)
            if isinstance(length, (list, tuple)):
                part[name] = [round(times * each) for each in length]
            elif length is not None:
                part[name] = round(times * length)

    stretch(cfg.get('train_cfg') or {})
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        # One scheduler, or those of several optimizers by name.
        schedulers = [schedulers, *schedulers.values()]
    for each in schedulers:
        for scheduler in each if isinstance(each, (list, tuple)) else [each]:
            if isinstance(scheduler, dict):
                stretch(scheduler)
