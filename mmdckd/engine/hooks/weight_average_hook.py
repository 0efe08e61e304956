# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional

from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook
from torch import nn

from mmdckd.registry import HOOKS
from mmdckd.values import is_whole

from ..data_group import data_group
from ..norm_statistics import measure_statistics, norm_layers

_AVERAGES = dict(ema='MomentumAnnealingEMA', swa='StochasticWeightAverage')


@HOOKS.register_module()
class WeightAverageHook(EMAHook):
    r"""Averages the weights of a cohort or a single network during training.

    Validation, tests, checkpoints and exports use the averages; training continues
    with the original weights. BatchNorm statistics are measured for the
    averages, whereas MMEngine's ``EMAHook`` copies those of the last weights.

    ``average='ema'`` is an exponential moving average, every ``interval``
    steps t,

    .. math::
        \bar\theta \leftarrow (1 - m_t) \bar\theta + m_t \theta, \qquad
        m_t = \max(momentum, \frac{warmup}{warmup + t})

    ``average='swa'`` is the mean of the weights at the end of every epoch (or
    ``interval``) from ``begin`` on: `Averaging Weights Leads to Wider Optima
    and Better Generalization <https://arxiv.org/abs/1803.05407>`_ (Izmailov
    et al., UAI 2018). The learning rate should not fall to 0 in this phase.

    Each student has its own average. A resumed run continues with its averages,
    bit for bit with :class:`~mmdckd.engine.hooks.ExactResumeHook`. If averaging
    now starts later, as 'swa' does in a longer run, it starts anew there.

    Args:
        average (str): 'ema' or 'swa'. Defaults to 'ema'.
        momentum (float): The smallest share of the current weights, for 'ema'.
            Defaults to 0.001.
        warmup (int): How slowly the share falls to ``momentum``, in updates,
            for 'ema'. Defaults to 10.
        begin_epoch (int, optional): The epoch to start in, counted from 1.
            Defaults to None: the first for 'ema', after three quarters of the
            iterations for 'swa'.
        begin_iter (int, optional): The iteration to start in, instead of
            ``begin_epoch``. Defaults to None.
        interval (int, optional): Iterations between two updates. Defaults to
            None: 1 for 'ema', an epoch for 'swa'.
        norm_images (int): The number of training images that BatchNorm
            statistics are measured on before a validation and a checkpoint; 0
            keeps those of the last averaged weights. Defaults to 2048.

    Raises:
        ValueError: If ``average`` is unknown, or a number is out of range;
            before the first step, if averaging would start after the end, or
            ``interval`` leaves no iteration to average in.

    Note:
        With several processes, a checkpoint that is saved in the middle of an
        epoch without validation has the statistics of the last averaged weights.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.WeightAverageHook')]
        >>> custom_hooks = [
        ...     dict(
        ...         type='mmdckd.WeightAverageHook',
        ...         average='swa',
        ...         begin_epoch=45)
        ... ]
    """

    def __init__(
        self,
        average: str = 'ema',
        momentum: float = 0.001,
        warmup: int = 10,
        begin_epoch: Optional[int] = None,
        begin_iter: Optional[int] = None,
        interval: Optional[int] = None,
        norm_images: int = 2048,
    ) -> None:
        if average not in _AVERAGES:
            raise ValueError(
                'Invalid `average`: expected one of '
                f'{list(_AVERAGES)}, got {average!r}.'
            )
        if not 0 < momentum < 1:
            raise ValueError(
                'Invalid `momentum`: expected a number between 0 '
                f'and 1, got {momentum!r}.'
            )
        if begin_epoch is not None and begin_iter is not None:
            raise ValueError(
                'Invalid `begin_iter`: expected None with '
                f'`begin_epoch`, got {begin_iter!r}.'
            )
        for key, value, least in (
            ('warmup', warmup, 1),
            ('begin_epoch', begin_epoch, 1),
            ('begin_iter', begin_iter, 0),
            ('interval', interval, 1),
            ('norm_images', norm_images, 0),
        ):
            if value is not None and not is_whole(value, least):
                raise ValueError(
                    f'Invalid `{key}`: expected a whole number of at '
                    f'least {least}, got {value!r}.'
                )
        settings = dict(momentum=momentum, gamma=warmup)
        super().__init__(
            _AVERAGES[average],
            begin_epoch=begin_epoch or 0,
            begin_iter=begin_iter or 0,
            **(settings if average == 'ema' else {}),
        )
        self.average = average
        self.interval = interval
        self.norm_images = norm_images
        self._begins_late = average == 'swa' and (begin_epoch or begin_iter) is None
        #: Whether the averages have changed since the statistics were measured.
        self._stale = False

    def before_run(self, runner) -> None:
        """Copy the model for its averages, once: a test after the training in the
        same runner uses them."""
        if not hasattr(self, 'ema_model'):
            super().before_run(runner)

    def before_train(self, runner) -> None:
        """Decide when to start and how often to average."""
        if self._begins_late:
            self.begin_iter = runner.max_iters * 3 // 4
        if self.interval is None:
            epoch = len(runner.train_loop.dataloader)
            self.interval = 1 if self.average == 'ema' else epoch
        for key, begin, end in (
            ('begin_epoch', self.begin_epoch, runner.max_epochs),
            ('begin_iter', self.begin_iter, runner.max_iters),
        ):
            if begin > end:
                raise ValueError(
                    f'Invalid `{key}`: expected at most {end}, '
                    f'the end of training, got {begin}.'
                )
        self._check_interval(runner)
        super().before_train(runner)
        if self.ema_model.steps and not self._ema_started(runner):
            runner.logger.info(
                'The averages of the resumed run are discarded, because averaging '
                'starts later in this run.'
            )
            self.ema_model.steps.zero_()
            self.ema_model.module.load_state_dict(self.src_model.state_dict())
            self._stale = False

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_run(runner)
        self.before_train(runner)

    def _check_interval(self, runner) -> None:
        """Check that there is an average at all."""
        last = runner.max_iters // self.interval * self.interval
        begin = self.begin_iter
        if self.enabled_by_epoch:
            begin = (self.begin_epoch - 1) * len(runner.train_loop.dataloader) + 1
        if last < max(begin, 1):
            raise ValueError(
                'Invalid `interval`: expected a number of iterations with a multiple '
                f'between {max(begin, 1)}, where averaging starts, and '
                f'{runner.max_iters}, the end of training, got {self.interval}.'
            )

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None
    ) -> None:
        """Average the weights if it is time to."""
        due = (runner.iter + 1) % self.interval == 0
        if self._ema_started(runner) and due:
            self.ema_model.update_parameters(self.src_model)
            self._stale = self.norm_images > 0
        elif not self.ema_model.steps:
            self.ema_model.module.load_state_dict(self.src_model.state_dict())

    def after_train_epoch(self, runner) -> None:
        """Measure the statistics in all processes together, before one of them
        saves a checkpoint."""
        if get_world_size() > 1:
            self._measure(runner)

    def before_val_epoch(self, runner) -> None:
        """Use the averages for the validation."""
        self._measure(runner)
        super().before_val_epoch(runner)

    def before_test_epoch(self, runner) -> None:
        """Use the averages for a test."""
        self._measure(runner)
        super().before_test_epoch(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save the averages together with the original weights."""
        if get_world_size() == 1:
            self._measure(runner)
        super().before_save_checkpoint(runner, checkpoint)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Continue with the averages of a resumed run."""
        super().after_load_checkpoint(runner, checkpoint)
        # Several processes may have saved it, without measured statistics.
        self._stale = bool(runner._resume and self.norm_images and self.ema_model.steps)

    def _measure(self, runner) -> None:
        if not self._stale:
            return
        self._stale = False
        averaged = self.ema_model.module
        measure_statistics(
            _networks(averaged),
            averaged.data_preprocessor,
            runner.train_loop.dataloader,
            self.norm_images,
            runner.seed,
            data_group(averaged),
        )

    def _swap_ema_parameters(self) -> None:
        """Swap the weights and the averages, including their statistics."""
        super()._swap_ema_parameters()
        layers = (
            norm_layers(_networks(model))
            for model in (self.src_model, self.ema_model.module)
        )
        for ours, theirs in zip(*layers):
            for one, other in zip(ours.buffers(), theirs.buffers()):
                before = one.clone()
                one.copy_(other)
                other.copy_(before)


def _networks(model: nn.Module) -> List[nn.Module]:
    """Return the students that this process holds, or the single network."""
    cohort = getattr(model, 'cohort', None)
    return [model] if cohort is None else [network for _, network in cohort.items()]
