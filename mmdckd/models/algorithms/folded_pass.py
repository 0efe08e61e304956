# Copyright (c) mmdckd contributors. All rights reserved.
"""The forward pass of a student that is blind to a fold of the images."""

from contextlib import contextmanager
from typing import Dict, Iterator

import torch
from torch import nn

from ..cohorts.batch_folds import BatchFolds, take_rows
from ..cohorts.fold_plan import FoldPlan
from ..cohorts.student_cohort import StudentCohort
from ..distillers import CollectiveDistiller
from ..losses.base_collective_loss import LOGITS
from .step import StepRecord, View
from .student_pass import StudentPass


class FoldedPass:
    """Runs a student on the images that it sees.

    Where a loss learns from held-out knowledge, the student is first asked, in
    ``eval`` mode, about the images to which it is blind.

    Args:
        plan (FoldPlan): Which student is blind to which fold.
        student_pass (StudentPass): Runs a student.
        cohort (StudentCohort): The students.
        distiller (CollectiveDistiller): Records them.
    """

    def __init__(
        self,
        plan: FoldPlan,
        student_pass: StudentPass,
        cohort: StudentCohort,
        distiller: CollectiveDistiller,
    ) -> None:
        self._plan = plan
        self._student_pass = student_pass
        self._cohort = cohort
        self._distiller = distiller

    def __call__(
        self, name: str, view: View, step: StepRecord, distilling: bool
    ) -> Dict[str, torch.Tensor]:
        """Run a student, and record it; see :meth:`.StudentPass.__call__`.

        Args:
            name (str): Its name.
            view (View): The whole batch.
            step (StepRecord): Receives the folds of the batch, and what is
                recorded: logits (B, C), 0 of the images that are not seen.
            distilling (bool): Whether others learn from it.

        Returns:
            Dict[str, Tensor]: The losses of its task.
        """
        if step.folds is None:
            step.folds = BatchFolds(self._plan, view.samples, view.inputs.device)
        folds, samples = step.folds, view.samples or []
        asked = None
        if distilling and self._distiller.held_out and len(folds.blind(name)):
            asked = self._ask(name, view, folds)
        seen = View(*take_rows(folds.seen(name), view.inputs, samples))
        losses = self._student_pass(name, seen, step, distilling)
        step.students[name] = {
            key: folds.spread(folds.seen(name), logits)
            for key, logits in step.students[name].items()
        }
        if distilling and self._distiller.held_out:
            if asked is None:  # It is blind to nothing, and nobody will look.
                asked = torch.zeros_like(step.students[name][LOGITS])
            step.peers[name] = {LOGITS: asked}
        return losses

    @torch.no_grad()
    def _ask(self, name: str, view: View, folds: BatchFolds) -> torch.Tensor:
        """What a student says of the images to which it is blind, (B, C)."""
        rows = folds.blind(name)
        student = self._cohort.students[name]
        inputs, _ = take_rows(rows, view.inputs, view.samples or [])
        with evaluating(student), self._distiller.recording_student(name):
            student(inputs, mode='tensor')
        return folds.spread(rows, self._distiller.pop_student(name)[LOGITS])


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Have a network in ``eval`` mode, every module of it, and put each back."""
    modes = [(module, module.training) for module in network.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
