# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Dict, List, Optional

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop

from mmdckd.console.messages import warn
from mmdckd.engine.loops.exact_train_loops import ExactTrainLoop, make_exact
from mmdckd.engine.rescheduling import check_optimizer, fast_forward, take_settings
from mmdckd.engine.resumed_batches import (
    batches_of,
    compare_batches,
    recorded_batches,
    renumber,
)
from mmdckd.engine.resumed_settings import (
    EPOCH_LENGTH,
    Difference,
    compare_settings,
    describe,
)
from mmdckd.engine.resuming import resume_from_latest
from mmdckd.io.config_text import parse_config_text
from mmdckd.io.plain import make_plain
from mmdckd.names import with_stage
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a resumed run equal, bit for bit, to one that was not interrupted.

    MMEngine restores weights, optimizer, schedulers, averages and the message
    hub. This hook adds everything else a run depends on:

    - Random numbers. Python, NumPy and torch are seeded before each sample is
      loaded, from the seed of the run and the position of the sample in the
      pass over the data, and before each step, from the seed and the iteration.
      So no generator state needs saving, and the number of workers makes no
      difference.
    - The position in the data. A checkpoint records how many samples of the
      pass were trained on, and the seed of the sampler. A run resumes in the
      middle of an epoch, also by iteration, without loading earlier samples.
    - A validation that was due when the run was interrupted. It is made up for,
      so that the best score and schedulers that follow a metric include it.
      ``EarlyStoppingHook`` receives all validations again.
    - Accumulated gradients, if the checkpoint is saved between two steps of the
      optimizer. With several processes, each of which has its own, they are not
      saved; save a checkpoint after a step then. Nor are the buffers of other
      processes than the first, such as the memory of MMRazor's ``CRDLoss``.
    - Changed settings. Differences from the config in the checkpoint are
      reported before the first step. The settings of the run are used, except
      for the seed: with more epochs or another schedule, learning rates
      continue as if it had applied from the start. So do they with another batch
      size or number of processes; in a run by epochs, iterations are then counted
      as if all epochs had had the new number of them.

    Checkpoints hold only tensors, numbers and strings, so
    ``torch.load(weights_only=True)`` loads them in any process.

    The loop of the run keeps its state and gets another class, and its data
    loader another ``batch_sampler``. The hook needs the loops of
    ``train_cfg=dict(by_epoch=True | False, ...)``, and random numbers from the
    global generators. On a GPU, equal runs also need
    ``randomness=dict(deterministic=True)``.

    Raises:
        ValueError: Before the first step, if ``train_cfg.type`` is another
            loop, or the order of ``train_dataloader`` cannot be repeated.

    Examples:
        >>> default_hooks = dict(
        ...     exact_resume=dict(type='mmdckd.ExactResumeHook'))
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._position: Optional[Dict[str, int]] = None
        self._gradients: Dict[str, torch.Tensor] = {}
        self._warned = False
        # Of the resumed run, if its schedule is not used.
        self._train_cfg: Optional[dict] = None

    def before_run(self, runner) -> None:
        """Change the class of the training loop, if there is one
        (:func:`~mmdckd.engine.loops.exact_train_loops.make_exact`), and find
        the checkpoint to resume from."""
        resume_from_latest(runner)
        if isinstance(runner._train_loop, BaseLoop):
            make_exact(runner._train_loop)

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_run(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read the position in the data from the checkpoint."""
        self._position = checkpoint.get('meta', {}).get('position')
        self._gradients = checkpoint.get('gradients', {})
        self._train_cfg = None
        # FlexibleRunner restores schedulers in its own way. Without `before_run`,
        # nothing is trained.
        exact = isinstance(runner._train_loop, ExactTrainLoop)
        if runner._resume and exact and isinstance(runner, Runner):
            self._compare(runner, checkpoint)

    def _compare(self, runner, checkpoint: dict) -> None:
        """Report the differences from the resumed run, and switch to the
        schedule of this one."""
        text = checkpoint['meta'].get('cfg')
        try:
            differences = compare_settings(text, runner.cfg)
            train_cfg = parse_config_text(text or '').get('train_cfg') or {}
        except ValueError as error:
            warn(
                'The settings of the resumed run are unknown, so its schedule of '
                f'learning rates is kept: {error}',
                runner.logger,
            )
            differences, train_cfg = [], {}
        loop: Any = runner.train_loop
        scales_lr = (runner.cfg.get('auto_scale_lr') or {}).get('enable', False)
        batches = recorded_batches(checkpoint['meta'], loop)
        differences += compare_batches(batches, batches_of(loop), scales_lr)
        if differences:
            warn(describe(differences, runner._load_from), runner.logger)
        lacking = [
            key
            for key in ('optimizer', 'param_schedulers')
            if key not in checkpoint and (key == 'optimizer' or runner.param_schedulers)
        ]
        if lacking:
            warn(
                f'{runner._load_from} has no {" and no ".join(lacking)}, like '
                'all best checkpoints. The optimizer state starts from scratch; '
                'learning rates continue.',
                runner.logger,
            )
        else:
            check_optimizer(checkpoint['optimizer'], runner.optim_wrapper.state_dict())
        if any(each.key == EPOCH_LENGTH for each in differences) and isinstance(
            loop, EpochBasedTrainLoop
        ):
            renumber(checkpoint, loop, batches['epoch_length'])
            runner.logger.info(
                f'The iteration of {runner._load_from} counts as '
                f'{checkpoint["meta"]["iter"]}.'
            )
        if lacking or any(
            each.is_schedule or scales_lr and each.key == 'train_dataloader.batch_size'
            for each in differences
        ):
            _refuse_other_optimizer(differences)
            if 'optimizer' in checkpoint:
                take_settings(
                    checkpoint['optimizer'], runner.optim_wrapper.state_dict()
                )
            checkpoint.pop('param_schedulers', None)
            self._train_cfg = train_cfg

    def before_train(self, runner) -> None:
        """Start where the checkpoint was saved."""
        loop = runner.train_loop
        loop.batches.seed = runner.seed  # may be that of the checkpoint
        if loop.iter == 0:
            return
        if self._position is None:
            warn(
                'The checkpoint does not record its position in the data, because '
                'it was saved without `ExactResumeHook`. Training resumes '
                'with a new pass over the data.',
                runner.logger,
            )
            self._position = dict(epoch=loop.epoch, samples=0)
        loop.resume(**self._position)
        if self._train_cfg is not None:
            fast_forward(runner, self._train_cfg)
            self._train_cfg = None
        for name, parameter in runner.model.named_parameters():
            if name in self._gradients:
                parameter.grad = self._gradients.pop(name).to(parameter)
        for hook in runner.hooks:
            if isinstance(hook, EarlyStoppingHook):
                _resume_early_stopping(hook, runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Record the position in the data, what an iteration is, and unused
        gradients; keep only tensors, numbers and strings."""
        batches = runner.train_loop.batches
        checkpoint['meta']['position'] = dict(
            epoch=batches.epoch,
            samples=batches.samples,
            sampler_seed=getattr(batches.index_sampler, 'seed', None),
        )
        checkpoint['meta']['batches'] = batches_of(runner.train_loop)
        step_done = getattr(runner.optim_wrapper, 'should_update', None)
        if get_world_size() == 1 and step_done and not step_done():
            checkpoint['gradients'] = {
                name: parameter.grad.cpu()
                for name, parameter in runner.model.named_parameters()
                if parameter.grad is not None
            }
        left = make_plain(checkpoint)
        if left and not self._warned:
            self._warned = True
            warn(
                'Checkpoints of this run can only be loaded with '
                '--trust-checkpoint, because they hold more than tensors, numbers '
                f'and strings at {", ".join(left[:5])}.',
                runner.logger,
            )

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Record the validation before a checkpoint is saved, as
        ``last_val_iter``, for the loop of a resumed run and for
        :func:`~mmdckd.io.best_student.best_student_of`."""
        # A name that begins with 'val' would be logged as a metric.
        runner.message_hub.update_info('last_val_iter', runner.iter)


def _refuse_other_optimizer(differences: List[Difference]) -> None:
    for key, before, now in differences:
        if key in ('optim_wrapper.optimizer.type', 'train_cfg.by_epoch'):
            raise ValueError(
                f'Invalid `{key}`: expected {before!r}, as in the run that is '
                f'resumed, got {now!r}. To train its weights differently, set '
                '`load_from` instead of `resume`.'
            )


def _resume_early_stopping(hook: EarlyStoppingHook, runner) -> None:
    history = runner.message_hub.log_scalars.get(with_stage('val', hook.monitor))
    if history is None:
        return
    for score in history.data[0]:
        stop, _ = hook._check_stop_condition(score)
        if stop:
            runner.train_loop.stop_training = True
