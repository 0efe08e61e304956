# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Tuple

from mmengine.runner import Runner, find_latest_checkpoint
from mmengine.runner.base_loop import BaseLoop

from mmdckd.console.messages import warn
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.io.checkpoints import require_fit, state_dict_in
from mmdckd.models.weights import BESIDE_MEMBERS


def check_checkpoint(runner: Runner, checkpoint: dict) -> None:
    """Check that a checkpoint belongs to the model of a run.

    If the run resumes, the checkpoint must fit completely. If it only starts
    from the checkpoint or tests it, connectors and lagged peers may differ, and
    a warning says so.

    Args:
        runner (Runner): The runner that loads it.
        checkpoint (dict): Its content.

    Raises:
        ValueError: If it does not fit; see
            :func:`~mmdckd.io.checkpoints.require_fit`.
    """
    beside = () if runner._resume else BESIDE_MEMBERS
    model = runner.model
    source, path = source_of(runner)
    for line in require_fit(
        unwrapped(model),
        state_dict_in(checkpoint),
        source,
        path,
        may_lack=beside,
        may_exceed=beside,
    ):
        warn(
            f'{source} ({path!r}) and the config differ in parts other than the '
            f'members. {line}',
            runner.logger,
        )


def source_of(runner: Runner) -> Tuple[str, str]:
    """Return what names the loaded checkpoint, and its path, for messages."""
    path = runner._load_from
    if runner._resume:
        return '`resume`', path or find_latest_checkpoint(runner.work_dir)
    training = isinstance(runner._train_loop, BaseLoop)
    return '`load_from`' if training else 'checkpoint', path
