# Copyright (c) mmdckd contributors. All rights reserved.
"""The forward pass of a student in a training step."""

from contextlib import nullcontext
from functools import partial
from typing import Callable, Dict, Optional

import torch

from mmdckd.names import STUDENT, name_losses

from ..cohorts.lagged_peers import LaggedPeers
from ..cohorts.student_cohort import StudentCohort
from ..distillers import CollectiveDistiller
from ..tasks.labels import has_labels, labeled_rows, missing_labels
from ..tasks.task_loss import task_losses
from .recomputation import Recomputation
from .step import StepRecord, View


class StudentPass:
    """Runs the students one by one, and their lagged copies.

    Args:
        cohort (StudentCohort): The students.
        distiller (CollectiveDistiller): Records the students.
        lagged_peers (LaggedPeers, optional): The lagged copies.
        recompute (Recomputation, optional): Recomputes activations in the
            backward pass.
        trained (bool): Whether the students train.
        with_loss (bool): Whether the students have a task loss.
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
        self._distills = bool(
            distiller.collective_losses or len(distiller.student_distillers)
        )

    def __call__(
        self, name: str, view: View, step: StepRecord, distilling: bool
    ) -> Dict[str, torch.Tensor]:
        """Run a student, and record its outputs.

        Args:
            name (str): Its name.
            view (View): The images that it sees.
            step (StepRecord): Receives what is recorded.
            distilling (bool): Whether distillation losses are computed.

        Returns:
            Dict[str, Tensor]: The task losses on the images with labels; empty if
            no image has labels.

        Raises:
            ValueError: If images lack labels without being marked as unlabeled,
                or there is nothing to learn from.
        """
        if not self._with_loss and not distilling:
            raise ValueError(
                'Invalid `model.calculate_student_loss`: expected True with '
                '`StopDistillHook`, as students have no other loss after '
                'distillation stops, got False.'
            )
        lagged_peers = self._lagged_peers if distilling else None
        if lagged_peers is not None and not step.students:
            lagged_peers.follow(self._cohort)
        with (
            self._distiller.recording_student(name, razor=distilling),
            nullcontext() if self._trained else torch.no_grad(),
        ):
            losses = self._run(name, view)
        step.students[name] = self._distiller.pop_student(name)
        if lagged_peers is not None:
            step.peers[name] = lagged_peers(name, view.inputs)
        if self._with_loss and not losses and not (distilling and self._distills):
            raise missing_labels(
                'the task loss, the only one of this step,',
                view.samples,
                'add `distiller.collective_losses`, or have some in every batch',
            )
        return name_losses(STUDENT, name, losses) if self._with_loss else {}

    def _run(self, name: str, view: View) -> Dict[str, torch.Tensor]:
        """Run a student, and return its task losses on the images with labels."""
        student, samples = self._cohort.students[name], view.samples
        if self._with_loss and labeled_rows(samples) is None:
            raise missing_labels(
                'the task loss of the students',
                samples,
                'set `model.calculate_student_loss=False`',
            )
        # MMRazor's recorders of the head see the labels if every image has one.
        with_loss = self._with_loss or has_labels(samples)
        run = partial(task_losses if with_loss else _without_loss, student)
        if self._recompute is None:
            return run(view.inputs, samples)
        return self._recompute(name, run, view.inputs, samples)


def _without_loss(
    student: Callable, inputs: torch.Tensor, samples: Optional[list]
) -> Dict[str, torch.Tensor]:
    student(inputs, samples, mode='tensor')
    return {}
