# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from mmdckd.console.messages import warn
from mmdckd.engine.loops.exact_train_loops import make_exact
from mmdckd.engine.rescheduling import check_optimizer, fast_forward, take_settings
from mmdckd.engine.resumed_settings import Difference, compare_settings, describe
from mmdckd.engine.resuming import resume_from_latest
from mmdckd.io.config_text import parse_config_text
from mmdckd.io.plain import make_plain
from mmdckd.names import with_stage
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes a resumed run the run that was never interrupted, bit for bit.

    MMEngine restores weights, optimizer, schedulers, averages and the message
    hub. What else a run depends on is added here:

    - Random numbers. Python, NumPy and torch are seeded before each sample is
      loaded, by the seed of the run and the place of the sample in the pass
      over the data, and before each step, by the seed and the iteration. So
      no generator has a state to be kept, and it makes no difference whether
      0 or 8 workers load.
    - The place in the data. A checkpoint notes how many samples of the pass
      were trained on, and the seed of the sampler. A run resumes inside an
      epoch, and by iteration, without loading what comes before.
    - The validation that was due when the run was interrupted is made up, so
      that the record of the best checkpoint and a scheduler that follows a
      metric know it. ``EarlyStoppingHook`` is told of all validations again.

    - Gradients that are accumulated are part of a checkpoint between two steps
      of the optimizer; in several processes, where each has its own, they are
      not, and a checkpoint should be saved after a step.

    - What differs between the settings of the run and those in the
      checkpoint is said before the first step. Those of the run hold, but for
      the seed: with more epochs or another schedule, learning rates go on as
      if it had been there from the beginning.

    Its checkpoints hold tensors, numbers and strings only:
    ``torch.load(weights_only=True)`` loads them in any process.

    The loop of the run keeps its state and gets another class, and its
    dataloader another ``batch_sampler``. It needs the loops of
    ``train_cfg=dict(by_epoch=True | False, ...)``, and random numbers drawn
    from the global generators. On a GPU, ``randomness=
    dict(deterministic=True)`` is needed as well for two runs to be equal.

    Raises:
        ValueError: Before the first step, if ``train_cfg.type`` is another
            loop, or ``train_dataloader`` has no order that can be repeated.

    Examples:
        >>> default_hooks = dict(
        ...     exact_resume=dict(type='mmdckd.ExactResumeHook'))
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._position: Optional[Dict[str, int]] = None
        self._gradients: Dict[str, torch.Tensor] = {}
        self._warned = False
        # Of the run that is resumed, where its schedule is not taken over.
        self._train_cfg: Optional[dict] = None

    def before_run(self, runner) -> None:
        """Give the loop another class, where there is training
        (:func:`~mmdckd.engine.loops.exact_train_loops.make_exact`), and find
        the checkpoint to resume from."""
        resume_from_latest(runner)
        if isinstance(runner._train_loop, BaseLoop):
            make_exact(runner._train_loop)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take the place in the data from the checkpoint."""
        self._position = checkpoint.get('meta', {}).get('position')
        self._gradients = checkpoint.get('gradients', {})
        self._train_cfg = None
        # FlexibleRunner restores schedulers in a way of its own.
        if runner._resume and isinstance(runner, Runner):
            self._compare(runner, checkpoint)

    def _compare(self, runner, checkpoint: dict) -> None:
        """Say what differs from the run that is resumed, and take the
        schedule of this one."""
        text = checkpoint['meta'].get('cfg')
        try:
            differences = compare_settings(text, runner.cfg)
            train_cfg = parse_config_text(text or '').get('train_cfg') or {}
        except ValueError as error:
            warn(
                f'The settings of the run that is resumed are not known: {error}',
                runner.logger,
            )
            differences, train_cfg = [], {}
        if differences:
            warn(describe(differences, runner._load_from), runner.logger)
        lacking = [
            key
            for key in ('optimizer', 'param_schedulers')
            if key not in checkpoint and (key == 'optimizer' or runner.param_schedulers)
        ]
        if lacking:
            warn(
                f'{runner._load_from} has no {" and no ".join(lacking)}, as '
                'the best checkpoints have none. What an optimizer remembers '
                'begins anew; learning rates go on.',
                runner.logger,
            )
        else:
            check_optimizer(checkpoint['optimizer'], runner.optim_wrapper.state_dict())
        if lacking or any(each.is_schedule for each in differences):
            _refuse_other_optimizer(differences)
            if 'optimizer' in checkpoint:
                take_settings(
                    checkpoint['optimizer'], runner.optim_wrapper.state_dict()
                )
            checkpoint.pop('param_schedulers', None)
            self._train_cfg = train_cfg

    def before_train(self, runner) -> None:
        """Begin where the checkpoint was saved."""
        loop = runner.train_loop
        loop.batches.seed = runner.seed  # may be that of the checkpoint
        if loop.iter == 0:
            return
        if self._position is None:
            warn(
                'The checkpoint does not say where in the data it was saved: '
                'it was saved without `ExactResumeHook`. Training resumes '
                'with another pass over the data.',
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
        """Note the place in the data, and gradients not yet used; leave
        nothing but tensors, numbers and strings."""
        batches = runner.train_loop.batches
        checkpoint['meta']['position'] = dict(
            epoch=batches.epoch,
            samples=batches.samples,
            sampler_seed=getattr(batches.index_sampler, 'seed', None),
        )
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
                '--trust-checkpoint: what they hold at '
                f'{", ".join(left[:5])} is no tensor, number or string.',
                runner.logger,
            )

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Note, before a checkpoint is saved, that this was validated: as
        ``last_val_iter``, for the loop of a run that resumes and for
        :func:`~mmdckd.io.best_student.best_student_of`."""
        # What begins with 'val' would be logged among the metrics.
        runner.message_hub.update_info('last_val_iter', runner.iter)


def _refuse_other_optimizer(differences: List[Difference]) -> None:
    for key, before, now in differences:
        if key in ('optim_wrapper.optimizer.type', 'train_cfg.by_epoch'):
            raise ValueError(
                f'`{key}`={now!r}: a run resumes with the one it began with, '
                f'{before!r}. To train the weights in another way, give '
                '`load_from` in place of `resume`.'
            )


def _resume_early_stopping(hook: EarlyStoppingHook, runner) -> None:
    history = runner.message_hub.log_scalars.get(with_stage('val', hook.monitor))
    if history is None:
        return
    for score in history.data[0]:
        stop, _ = hook._check_stop_condition(score)
        if stop:
            runner.train_loop.stop_training = True
