# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks that a run can spread its students over processes."""

from typing import Any

from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.hooks import CheckpointHook
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import BatchSampler

from mmdckd.errors import invalid

from ..hooks.cohort_checkpoint_hook import CohortCheckpointHook
from ..hooks.exact_resume_hook import ExactResumeHook
from ..loops.collective_eval_loops import CollectiveTestLoop, CollectiveValLoop

#: Settings that change students of other processes, too.
SETTINGS = ('compile', 'sync_bn', 'activation_checkpointing', 'efficient_conv_bn_eval')


def check_training(runner, loop: BaseLoop) -> None:
    """Check the settings of a training.

    Args:
        runner (Runner): The runner.
        loop (BaseLoop): Its training loop.

    Raises:
        ValueError: If one needs all students in one process; the message names
            its key.
    """
    cfg = runner.cfg
    for key in SETTINGS:
        if cfg.get(key):
            raise _refused(key, 'None', cfg[key])
    if (cfg.get('randomness') or {}).get('diff_rank_seed'):
        raise _refused('randomness.diff_rank_seed', 'False', True)
    if not any(isinstance(hook, ExactResumeHook) for hook in runner.hooks):
        hook = "dict(type='mmdckd.ExactResumeHook')"
        raise _refused('default_hooks.exact_resume', hook, None)
    for hook in runner.hooks:
        name = type(hook).__name__
        if isinstance(hook, CheckpointHook) and not isinstance(
            hook, CohortCheckpointHook
        ):
            key = 'default_hooks.checkpoint.type'
            raise _refused(key, "'mmdckd.CohortCheckpointHook'", name)
    _check_sampler(loop.dataloader)


def check_evaluation(loop: BaseLoop, stage: str) -> None:
    """Check a validation or a test.

    Args:
        loop (BaseLoop): Its loop.
        stage (str): ``'val'`` or ``'test'``.

    Raises:
        ValueError: If not all processes would evaluate all students in step.
    """
    name = type(loop).__name__
    if not isinstance(loop, (CollectiveValLoop, CollectiveTestLoop)):
        expected = f"'mmdckd.Collective{stage.title()}Loop'"
        raise _refused(f'{stage}_cfg.type', expected, name)
    sampler = loop.dataloader.sampler
    if type(sampler) is not DefaultSampler or not sampler.round_up:
        expected = 'a DefaultSampler with `round_up=True`'
        raise _refused(f'{stage}_dataloader.sampler', expected, type(sampler).__name__)


def _check_sampler(dataloader: Any) -> None:
    batches = dataloader.batch_sampler
    if type(batches) is not BatchSampler:
        kind = type(batches).__name__
        raise _refused('train_dataloader.batch_sampler', 'None', kind)
    sampler = batches.sampler
    known = type(sampler) in (DefaultSampler, InfiniteSampler)
    if not known or not getattr(sampler, 'round_up', True):
        expected = 'a DefaultSampler with `round_up=True`, or an InfiniteSampler,'
        raise _refused('train_dataloader.sampler', expected, type(sampler).__name__)


def _refused(key: str, expected: str, value: Any) -> ValueError:
    return invalid(key, f"{expected} with `model.parallel='cohort'`", value)
