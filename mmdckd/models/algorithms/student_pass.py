# Copyright (c) mmdckd contributors. All rights reserved.
"""The forward pass of a student in a training step."""

from contextlib import nullcontext
from typing import Any, Dict, Optional

import torch

from mmdckd.names import STUDENT, name_losses

from ..cohorts.lagged_peers import LaggedPeers
from ..cohorts.student_cohort import StudentCohort
from ..distillers import CollectiveDistiller
from ..tasks.labels import has_labels, missing_labels
from .recomputation import Recomputation
from .step import StepRecord, View


class StudentPass:
    """Runs one student after another, and the copies that lag behind.

    Args:
        cohort (StudentCohort): The students.
        distiller (CollectiveDistiller): Records them.
        lagged_peers (LaggedPeers, optional): Their copies.
        recompute (Recomputation, optional): Runs them in less memory.
        trained (bool): Whether they learn.
        with_loss (bool): Whether they have a task loss.
    """

    def __init__(
        self,
        cohort: StudentCohort,
        distiller: CollectiveDistiller,
        lagged_peers: Optional[LaggedPeers],
        recompute: Optional[Recomputation],
        trained: bool,
        with_loss: bool,
    ) -> None:
        self._cohort = cohort
        self._distiller = distiller
        self._lagged_peers = lagged_peers
        self._recompute = recompute if trained else None
        self._trained = trained
        self._with_loss = with_loss

    def __call__(
        self, name: str, view: View, step: StepRecord, distilling: bool
    ) -> Dict[str, torch.Tensor]:
        """Run a student, and record it.

        Args:
            name (str): Its name.
            view (View): The images that it sees.
            step (StepRecord): Receives what is recorded.
            distilling (bool): Whether others learn from it.

        Returns:
            Dict[str, Tensor]: The losses of its task.
        """
        lagged_peers = self._lagged_peers if distilling else None
        if lagged_peers is not None and not step.students:
            lagged_peers.follow(self._cohort)
        with (
            self._distiller.recording_student(name),
            nullcontext() if self._trained else torch.no_grad(),
        ):
            output = self._run(name, view)
        step.students[name] = self._distiller.pop_student(name)
        if lagged_peers is not None:
            step.peers[name] = lagged_peers(name, view.inputs)
        return name_losses(STUDENT, name, output) if self._with_loss else {}

    def _run(self, name: str, view: View) -> Any:
        student = self._cohort.students[name]
        mode = 'loss' if has_labels(view.samples) else 'tensor'
        if mode == 'tensor' and self._with_loss:
            raise missing_labels(
                'the task loss of the students',
                view.samples,
                'set `model.calculate_student_loss=False`',
            )
        if self._recompute is None:
            return student(view.inputs, view.samples, mode=mode)
        return self._recompute(name, student, view.inputs, view.samples, mode=mode)
