# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Callable, Optional

import torch
from mmengine.model import BaseModel
from torch import nn

from mmdckd.errors import invalid

from ..distillers.recorders import MemberRecorder, Tensors
from ..options import check_count, check_positive
from .student_cohort import StudentCohort


class LaggedPeers(nn.Module):
    r"""Delayed copies of the students, which students learn from as peers.

    .. math::
        \bar\theta_j \leftarrow (1 - m) \bar\theta_j + m \theta_j
        \quad \text{every } n \text{ steps}

    With momentum m = 1, a copy is the student of up to n - 1 steps ago, as in
    codistillation, `Large scale distributed neural network training through
    online distillation <https://arxiv.org/abs/1804.03235>`_ (Anil et al., ICLR
    2018); with m < 1, it is an exponential moving average.

    The copies stay in ``eval`` mode. Their weights are buffers, so they are
    saved in checkpoints and never optimized. In the first step, they equal the
    students.

    Args:
        cohort (StudentCohort): The students.
        record (Callable): Attaches a recorder of what collective losses read
            to a network.
        momentum (float): m, the weight of the student in an update, more than
            0 and at most 1. Defaults to 1.0.
        interval (int): n, the number of steps between updates. Defaults to 1.

    Raises:
        ValueError: If ``momentum`` or ``interval`` is out of range.
    """

    def __init__(
        self,
        cohort: StudentCohort,
        record: Callable[[BaseModel], MemberRecorder],
        momentum: float = 1.0,
        interval: int = 1,
    ) -> None:
        super().__init__()
        check_positive('lagged_peers.momentum', momentum)
        if momentum > 1:
            expected = 'a number above 0 and at most 1'
            raise invalid('lagged_peers.momentum', expected, momentum)
        check_count('lagged_peers.interval', interval)
        self.momentum = momentum
        self.interval = interval
        self.students = copy.deepcopy(cohort.students)
        for module in self.students.modules():
            for name, parameter in list(module._parameters.items()):
                del module._parameters[name]
                module.register_buffer(
                    name, None if parameter is None else parameter.detach()
                )
        # Negative if the copies already have the update of the next step.
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        # A copy on the CPU; None until it is read from the device.
        self._steps: Optional[int] = None
        self._recorders = {
            name: record(student) for name, student in self.students.items()
        }
        self.eval()

    def train(self, mode: bool = True) -> 'LaggedPeers':
        """Stay in ``eval`` mode."""
        return super().train(False)

    @torch.no_grad()
    def follow(self, cohort: StudentCohort) -> None:
        """Update the copies if it is time; call it once per training step.

        Args:
            cohort (StudentCohort): The current students.
        """
        steps = self._read_steps()
        if steps >= 0 and steps % self.interval == 0:
            self._update(cohort, first=not steps)
        self._write_steps(abs(steps) + 1)

    def step_back(self) -> None:
        """Count the last step as not done. When it is done again, its update is not:
        the copies have it."""
        self._write_steps(1 - self._read_steps())

    def _update(self, cohort: StudentCohort, first: bool) -> None:
        now = cohort.students.state_dict()
        done = set()
        for key, lagged in self.students.state_dict().items():
            if lagged.data_ptr() in done and lagged.numel():
                continue  # A tensor that two layers share.
            done.add(lagged.data_ptr())
            if first or not lagged.is_floating_point():
                lagged.copy_(now[key])
            else:
                lagged.lerp_(now[key].to(lagged), self.momentum)

    def _read_steps(self) -> int:
        if self._steps is None:
            self._steps = int(self.steps)
        return self._steps

    def _write_steps(self, steps: int) -> None:
        self.steps.fill_(steps)
        self._steps = steps

    def _load_from_state_dict(self, *args) -> None:
        super()._load_from_state_dict(*args)
        self._steps = None

    @torch.no_grad()
    def forward(self, name: str, inputs: torch.Tensor) -> Tensors:
        """Run the copy of one student.

        Args:
            name (str): The student's name.
            inputs (Tensor): Preprocessed images (B, 3, H, W).

        Returns:
            Tensors: Its recorded tensors by recorder: the logits (B, C), and
            features.
        """
        with self._recorders[name]:
            self.students[name](inputs, mode='tensor')
        return self._recorders[name].pop()

    def extra_repr(self) -> str:
        return f'momentum={self.momentum}, interval={self.interval}'
