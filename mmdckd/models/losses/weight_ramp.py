# Copyright (c) mmdckd contributors. All rights reserved.
import math

from mmengine.logging import MessageHub

from mmdckd.console.messages import warn

from ..options import check_choice


class WeightRamp:
    r"""A factor that rises to 1 as training goes on.

    With :math:`x = (t - begin) / (end - begin)`, cut to [0, 1]:

    .. math::
        w(t) = \begin{cases}
            0 & t < begin \\
            \exp(-5 (1 - x)^2) & \text{kind 'exp'} \\
            x & \text{kind 'linear'}
        \end{cases}

    so that w is 1 from ``end`` on. Kind 'exp' is that of `Temporal Ensembling
    for Semi-Supervised Learning <https://arxiv.org/abs/1610.02242>`_ (Laine
    and Aila, ICLR 2017, section 3.2).

    t is what MMEngine's ``RuntimeInfoHook`` publishes for the iteration that
    runs: a resumed run goes on where it was, and nothing is stored.

    Args:
        end (float): When the factor reaches 1, in epochs or iterations.
        begin (float): When it starts. Defaults to 0.
        by_epoch (bool): Whether t counts epochs, in fractions, or iterations.
            A run by iterations (``IterBasedTrainLoop``) is one epoch to
            MMEngine, and wants False. Defaults to True.
        kind (str): 'exp' or 'linear'. Defaults to 'exp'.

    Raises:
        ValueError: If ``begin`` is negative, ``end`` is not after it, or
            ``kind`` is invalid.
    """

    KINDS = ('exp', 'linear')

    def __init__(
        self, end: float, begin: float = 0, by_epoch: bool = True, kind: str = 'exp'
    ) -> None:
        if not 0 <= begin < end:
            raise ValueError(
                'Invalid `ramp`: expected 0 <= `begin` < `end`, got '
                f'begin={begin} and end={end}.'
            )
        check_choice('ramp.kind', kind, self.KINDS)
        self.end = end
        self.begin = begin
        self.by_epoch = by_epoch
        self.kind = kind

    def __call__(self) -> float:
        """Compute the factor of the iteration that runs.

        Returns:
            float: In [0, 1].

        Raises:
            RuntimeError: If no runner is training.
        """
        return self.factor(self._time())

    def factor(self, time: float) -> float:
        """Compute the factor at another time.

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
                "`ramp` follows the progress that MMEngine's "
                'RuntimeInfoHook publishes, but no runner has published any: '
                'train with a Runner, or leave `ramp` out.'
            )
        time = iteration
        if self.by_epoch:
            time, total = iteration * max_epochs / total, max_epochs
        if self.end > total:
            warn(
                f'`ramp.end` is {self.end}, but this run ends at {total} '
                f'{"epochs" if self.by_epoch else "iterations"}: the full '
                'weight is never reached. In a run by iterations, set '
                '`by_epoch=False`.'
            )
        return time

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(end={self.end}, begin={self.begin}, '
            f'by_epoch={self.by_epoch}, kind={self.kind!r})'
        )
