# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure the cost of a training step."""

from typing import Optional

from mmengine.hooks import Hook
from torch.utils.flop_counter import FlopCounterMode


class StepCostHook(Hook):
    """Counts the floating-point operations of the first training step.

    The count includes everything that the step computes: the teacher's forward
    pass, and the forward and backward passes of all students. Only matrix
    products and convolutions count; an addition and a multiplication are two
    operations (PyTorch's :class:`~torch.utils.flop_counter.FlopCounterMode`).

    Attributes:
        flops (int, optional): The number of operations; None before the first
            step.
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
