# Copyright (c) mmdckd contributors. All rights reserved.
import math
from typing import Any, Optional

from mmengine.logging import MessageHub

from mmdckd.console.messages import warn
from mmdckd.errors import invalid
from mmdckd.values import is_finite_number

from ..options import check_bool, check_choice


class WeightRamp:
    r"""Computes a factor that rises to 1 during training.

    With :math:`x = (t - begin) / (end - begin)`, clamped to [0, 1]:

    .. math::
        w(t) = \begin{cases}
            0 & t < begin \\
            \exp(-5 (1 - x)^2) & \text{kind 'exp'} \\
            x & \text{kind 'linear'}
        \end{cases}

    so w is 1 from ``end`` on. Kind 'exp' is that of `Temporal Ensembling for
    Semi-Supervised Learning <https://arxiv.org/abs/1610.02242>`_ (Laine and
    Aila, ICLR 2017, section 3.2).

    The time t is the progress that MMEngine's ``RuntimeInfoHook`` publishes in
    each iteration, so a resumed run continues the ramp without stored state.

    Args:
        end (float): The time at which the factor reaches 1, in epochs or
            iterations.
        begin (float): The time at which it starts to rise. Defaults to 0.
        by_epoch (bool): Whether t counts epochs, in fractions, or iterations.
            Set it to False with ``IterBasedTrainLoop``, whose run MMEngine
            counts as one epoch. Defaults to True.
        kind (str): 'exp' or 'linear'. Defaults to 'exp'.

    Raises:
        ValueError: If ``begin`` is negative, ``end`` is not after it, one of them is
            not a number, or ``by_epoch`` or ``kind`` is invalid.
    """

    KINDS = ('exp', 'linear')

    def __init__(
        self, end: float, begin: float = 0, by_epoch: bool = True, kind: str = 'exp'
    ) -> None:
        if not (is_finite_number(begin) and is_finite_number(end) and 0 <= begin < end):
            raise ValueError(
                'Invalid `ramp`: expected numbers with 0 <= `begin` < `end`, got '
                f'begin={begin!r} and end={end!r}.'
            )
        check_bool('ramp.by_epoch', by_epoch)
        check_choice('ramp.kind', kind, self.KINDS)
        self.end = end
        self.begin = begin
        self.by_epoch = by_epoch
        self.kind = kind

    def __call__(self) -> float:
        """Compute the factor of the current iteration.

        Returns:
            float: In [0, 1].

        Raises:
            RuntimeError: If no runner is training.
        """
        return self.factor(self._time())

    def factor(self, time: float) -> float:
        """Compute the factor at a given time.

        Args:
            time (float): t, in epochs or iterations.

        Returns:
            float: In [0, 1].
        """
        if time < self.begin:
            return 0.0
        x = min((time - self.begin) / (self.end - self.begin), 1)
        return x if self.kind == 'linear' else math.exp(-5 * (1 - x) ** 2)

    def _time(self) -> float:
        hub = MessageHub.get_current_instance()
        keys = ('iter', 'max_iters', 'max_epochs')
        iteration, total, max_epochs = map(hub.get_info, keys)
        if None in (iteration, total, max_epochs):
            raise RuntimeError(
                'Invalid `ramp`: expected a Runner, whose RuntimeInfoHook publishes '
                'the progress of training, got none. Train with a Runner, or remove '
                '`ramp`.'
            )
        time = iteration
        if self.by_epoch:
            time, total = iteration * max_epochs / total, max_epochs
        if self.end > total:
            warn(
                f'`ramp.end` is {self.end}, but this run ends at {total} '
                f'{"epochs" if self.by_epoch else "iterations"}, so the full weight '
                'is never reached. With IterBasedTrainLoop, set `by_epoch=False`.'
            )
        return time

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(end={self.end}, begin={self.begin}, '
            f'by_epoch={self.by_epoch}, kind={self.kind!r})'
        )


def build_ramp(ramp: Any) -> Optional[WeightRamp]:
    """Build the ramp of a loss, None for none.

    Raises:
        ValueError: If it is not a dict, or see :class:`WeightRamp`.
    """
    if ramp is None:
        return None
    if not isinstance(ramp, dict):
        raise invalid('ramp', 'None or a dict with `end`', ramp)
    return WeightRamp(**ramp)
