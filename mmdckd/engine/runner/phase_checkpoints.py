# Copyright (c) mmdckd contributors. All rights reserved.
"""The checkpoints of phases before the last one."""

import os.path as osp

from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import IterBasedTrainLoop, Runner

from ..saving import saves_at


def save_apart(cfg: Config, run_dir: str) -> None:
    """Save a phase in a folder of its run.

    MMEngine adds only the name of the phase to ``checkpoint.out_dir``, which several
    runs may share.

    Args:
        cfg (Config): The config of the phase, changed in place.
        run_dir (str): The work folder of the run.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder = hook.get('out_dir')
    if folder and folder != run_dir:
        hook['out_dir'] = osp.join(folder, osp.basename(run_dir.rstrip(osp.sep)))


def check_last_epoch(runner: Runner, name: str) -> None:
    """Check that a phase saves its last epoch, which later phases learn from.

    Args:
        runner (Runner): The runner of the phase, with its training loop.
        name (str): The name of the phase.

    Raises:
        ValueError: If it saves none, or an earlier one.
    """
    by_iteration = isinstance(runner.train_loop, IterBasedTrainLoop)
    end = runner.max_iters if by_iteration else runner.max_epochs
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    if any(hook.save_last or saves_at(runner, hook, end) for hook in hooks):
        return
    got = [f'interval={hook.interval} and save_last=False' for hook in hooks]
    unit = 'iteration' if by_iteration else 'epoch'
    raise ValueError(
        'Invalid `default_hooks.checkpoint`: expected a hook that saves the last '
        f'{unit} of {name}, {end}, which a later phase learns from, got '
        f'{" and ".join(got) or "none"}. Set `save_last=True`.'
    )
