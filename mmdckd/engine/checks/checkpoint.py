# Copyright (c) mmdckd contributors. All rights reserved.
from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop

from mmdckd.console.messages import warn
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.io.checkpoints import require_fit, state_dict_in
from mmdckd.models.weights import BESIDE_MEMBERS


def check_checkpoint(runner: Runner, checkpoint: dict) -> None:
    """Check that a checkpoint is one of the model of a run.

    A run that resumes is the same run, and its checkpoint fits whole. One
    that starts from a checkpoint, or tests it, may have other connectors or
    lagged peers than the run that wrote it, and the log says so.

    Args:
        runner (Runner): The runner, which loads it.
        checkpoint (dict): Its content.

    Raises:
        ValueError: If it does not fit; see
            :func:`~mmdckd.io.checkpoints.require_fit`.
    """
    beside = () if runner._resume else BESIDE_MEMBERS
    model = runner.model
    source = source_of(runner)
    for line in require_fit(
        unwrapped(model),
        state_dict_in(checkpoint),
        source,
        may_lack=beside,
        may_exceed=beside,
    ):
        warn(
            f'{source} has other parts beside the members than the config. {line}',
            runner.logger,
        )


def source_of(runner: Runner) -> str:
    """Where the checkpoint that a runner loads is from, for messages."""
    path = runner._load_from
    if not runner._resume:
        training = isinstance(runner._train_loop, BaseLoop)
        return f'`load_from`={path!r}' if training else f'the checkpoint {path!r}'
    return f'`resume`: {path or find_latest_checkpoint(runner.work_dir)!r}'
