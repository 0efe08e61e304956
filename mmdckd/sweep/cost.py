# Copyright (c) mmdckd contributors. All rights reserved.
"""What a training step costs."""

from typing import Optional

from mmengine.hooks import Hook
from torch.utils.flop_counter import FlopCounterMode


class StepCostHook(Hook):
    """Counts the floating-point operations of the first training step.

    All that the step computes is in it: the teacher's forward pass, the
    forward and backward pass of every student. Only matrix products and
    convolutions count, an addition and a multiplication as two (PyTorch's
    :class:`~torch.utils.flop_counter.FlopCounterMode`). It computes nothing
    of its own.

    Attributes:
        flops (int, optional): The operations; None before the first step.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.flops: Optional[int] = None
        self._counter: Optional[FlopCounterMode] = None

    def before_train_iter(self, *args, **kwargs) -> None:
        """Start counting, before the first step."""
        if self.flops is None:
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def after_train_iter(self, *args, **kwargs) -> None:
        """Stop counting, after the first step."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self.flops = self._counter.get_total_flops()
            self._counter = None
