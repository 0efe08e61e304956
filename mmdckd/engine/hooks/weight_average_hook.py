# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional

from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook
from torch import nn

from mmdckd.registry import HOOKS

from ..norm_statistics import measure_statistics, norm_layers

_AVERAGES = dict(ema='MomentumAnnealingEMA', swa='StochasticWeightAverage')


@HOOKS.register_module()
class WeightAverageHook(EMAHook):
    r"""Averages the weights over the training, of a cohort or of one network.

    What is validated, saved and exported are the averages; training goes on
    from the weights that are not averaged. BatchNorm statistics are measured
    for the averages, which MMEngine's ``EMAHook`` takes from the last weights.

    ``average='ema'`` is an exponential moving average, every ``interval``
    steps t,

    .. math::
        \bar\theta \leftarrow (1 - m_t) \bar\theta + m_t \theta, \qquad
        m_t = \max(momentum, \frac{warmup}{warmup + t})

    ``average='swa'`` is the mean of the weights at the end of every epoch (or
    ``interval``) from ``begin`` on: `Averaging Weights Leads to Wider Optima
    and Better Generalization <https://arxiv.org/abs/1803.05407>`_ (Izmailov
    et al., UAI 2018). Its learning rate should not fall to 0 in these.

    The average of each student is its own. A resumed run goes on with the
    averages it had, bit for bit with
    :class:`~mmdckd.engine.hooks.ExactResumeHook`.

    Args:
        average (str): 'ema' or 'swa'. Defaults to 'ema'.
        momentum (float): The least share of the current weights, for 'ema'.
            Defaults to 0.001.
        warmup (int): How slowly the share falls to ``momentum``, in updates,
            for 'ema'. Defaults to 10.
        begin_epoch (int, optional): The epoch to begin in, counted from 1.
            Defaults to None: with the first for 'ema', after three quarters
            of the iterations for 'swa'.
        begin_iter (int, optional): The iteration to begin in, instead of
            ``begin_epoch``. Defaults to None.
        interval (int, optional): Iterations from one update to the next.
            Defaults to None: 1 for 'ema', an epoch for 'swa'.
        norm_images (int): How many training images BatchNorm statistics are
            measured on, before a validation and a checkpoint; 0 keeps those
            of the weights that were averaged last. Defaults to 2048.

    Raises:
        ValueError: If ``average`` is unknown, or a number is out of range;
            before the first step, if averaging would begin after the end.

    Note:
        In several processes, a checkpoint that is saved inside an epoch, and
        not validated, has the statistics of the weights averaged last.

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
                'Invalid `momentum`: expected a share between 0 '
                f'and 1, got {momentum!r}.'
            )
        if begin_epoch is not None and begin_iter is not None:
            raise ValueError(
                'Invalid `begin_iter`: expected None beside '
                f'`begin_epoch`, got {begin_iter!r}.'
            )
        for key, value, least in (
            ('warmup', warmup, 1),
            ('begin_epoch', begin_epoch, 1),
            ('begin_iter', begin_iter, 0),
            ('interval', interval, 1),
            ('norm_images', norm_images, 0),
        ):
            if value is not None and (not isinstance(value, int) or value < least):
                raise ValueError(
                    f'Invalid `{key}`: expected a whole number '
                    f'from {least} on, got {value!r}.'
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
        #: Whether the averages have changed since statistics were measured.
        self._stale = False

    def before_train(self, runner) -> None:
        """Find out when to begin and how often to average."""
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
        super().before_train(runner)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None
    ) -> None:
        """Average the weights, where it is time to."""
        due = (runner.iter + 1) % self.interval == 0
        if self._ema_started(runner) and due:
            self.ema_model.update_parameters(self.src_model)
            self._stale = self.norm_images > 0
        elif not self.ema_model.steps:
            self.ema_model.module.load_state_dict(self.src_model.state_dict())

    def after_train_epoch(self, runner) -> None:
        """Measure the statistics in all processes together, before a
        checkpoint is saved in one."""
        if get_world_size() > 1:
            self._measure(runner)

    def before_val_epoch(self, runner) -> None:
        """Take the averages for the validation."""
        self._measure(runner)
        super().before_val_epoch(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Save the averages, and with them what is not averaged."""
        if get_world_size() == 1:
            self._measure(runner)
        super().before_save_checkpoint(runner, checkpoint)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Go on with the averages of a run that is resumed."""
        super().after_load_checkpoint(runner, checkpoint)
        self._stale = bool(
            runner._resume
            and self.norm_images
            and get_world_size() > 1
            and self.ema_model.steps
        )

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
        )

    def _swap_ema_parameters(self) -> None:
        """Exchange the weights and the averages, their statistics too."""
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
    """The students of a cohort, or the one network."""
    cohort = getattr(model, 'cohort', None)
    return [model] if cohort is None else list(cohort.students.values())
