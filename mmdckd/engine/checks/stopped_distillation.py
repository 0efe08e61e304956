# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Iterator

from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mmdckd.errors import invalid
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.tasks.token_heads import token_source


def check_stopped_distillation(runner: Runner) -> None:
    """Check that a run of several processes can go on after distillation stops.

    DDP raises an error in the second step without a gradient of a parameter, which
    may be days after the start.

    Args:
        runner (Runner): A runner that is about to train.

    Raises:
        ValueError: If ``StopDistillHook`` leaves parameters without a gradient, and
            DDP does not look for such parameters.
    """
    wrapper = runner.model
    # By name, because importing MMRazor's hooks is slow.
    hooks = [each for each in runner.hooks if type(each).__name__ == 'StopDistillHook']
    stops = [each.stop_epoch for each in hooks if each.stop_epoch < runner.max_epochs]
    if (
        not stops
        or not isinstance(wrapper, DistributedDataParallel)
        or wrapper.find_unused_parameters
        or not isinstance(wrapper.module, CollectiveDistill)
    ):
        return
    left = next(_without_labels(wrapper.module), None)
    if left is not None:
        raise invalid(
            'find_unused_parameters',
            f'True with `StopDistillHook`, as {left} has no gradient from epoch '
            f'{min(stops) + 1} on',
            False,
        )


def _without_labels(model: Any) -> Iterator[str]:
    """Yield the names of trained parts that only distillation trains."""
    for name, parameter in model.distiller.named_parameters():
        if parameter.requires_grad:
            yield f'distiller.{name}'
    students: nn.ModuleDict = model.cohort.students
    for name, student in students.items():
        source = token_source(student)
        if source is not None:
            yield f'{source} of {name}'
