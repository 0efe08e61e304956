# Copyright (c) mmdckd contributors. All rights reserved.
"""The training step of a student that is blind to a fold of the images."""

from contextlib import contextmanager
from typing import Dict, Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..cohorts.batch_folds import BatchFolds, take_rows
from ..cohorts.fold_plan import FoldPlan
from ..cohorts.student_cohort import StudentCohort
from ..distillers import CollectiveDistiller
from ..losses.base_collective_loss import LOGITS
from .step import StepRecord, View
from .student_pass import StudentPass


class FoldedPass:
    """Runs a student on the images it is not blind to.

    If a loss learns from held-out predictions, the student first predicts the
    images it is blind to, as :func:`predicting` says.

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
        """Run a student and record its outputs; see :meth:`.StudentPass.__call__`.

        Args:
            name (str): Its name.
            view (View): The whole batch.
            step (StepRecord): Receives the folds of the batch and the records:
                logits (B, C), 0 for images that the student does not see.
            distilling (bool): Whether distillation losses are computed.

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
            if asked is None:  # The student is blind to nothing; nobody reads this.
                asked = torch.zeros_like(step.students[name][LOGITS])
            step.peers[name] = {LOGITS: asked}
        return losses

    @torch.no_grad()
    def _ask(self, name: str, view: View, folds: BatchFolds) -> torch.Tensor:
        """Return a student's logits (B, C) for the images it is blind to."""
        rows = folds.blind(name)
        student = self._cohort.students[name]
        inputs, _ = take_rows(rows, view.inputs, view.samples or [])
        recording = self._distiller.recording_student(name)
        with predicting(student, len(rows)), recording:
            student(inputs, mode='tensor')
        # Autocast of older versions of torch keeps the weights that it has cast without
        # gradients, and would use them in the training step as well.
        torch.clear_autocast_cache()
        return folds.spread(rows, self._distiller.pop_student(name)[LOGITS])


@contextmanager
def predicting(network: nn.Module, num_images: int) -> Iterator[None]:
    """Put a network that is being trained into ``eval`` mode inside this context,
    except that BatchNorm layers use the statistics of these images.

    Their running statistics lag behind weights that change fast. Predictions with
    them can be so wrong, and so sure, that a cohort which learns from them does
    not recover. The running statistics are not updated; layers in ``eval`` mode
    stay in it, and so do all for a single image. SyncBatchNorm uses the images of
    this process, because another process may have none to predict.

    Args:
        network (nn.Module): The network.
        num_images (int): The number of images.
    """
    modes = [(module, module.training) for module in network.modules()]
    norms = [
        module
        for module, training in modes
        if isinstance(module, _BatchNorm)
        and training
        and module.track_running_stats
        and num_images > 1
    ]
    running = [(module.running_mean, module.running_var) for module in norms]
    for module, _ in modes:
        module.training = False
    for module in norms:
        # Without them, a layer in `eval` mode uses the statistics of its input.
        module.running_mean = module.running_var = None
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for module, (mean, variance) in zip(norms, running):
            module.running_mean, module.running_var = mean, variance
