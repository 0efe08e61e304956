# Copyright (c) mmdckd contributors. All rights reserved.
"""The forward pass of the teachers and finished peers in a training step."""

from typing import Dict, List, Optional, Tuple

import torch
from mmengine.structures import BaseDataElement

from mmdckd.names import TEACHER, name_losses, teacher_names

from ..cohorts.finished_peers import FinishedPeers
from ..distillers import CollectiveDistiller
from ..distillers.recorders import Tensors
from ..losses.base_collective_loss import LOGITS
from ..tasks.labels import labeled_rows, missing_labels
from ..teachers.cached_logits import CachedLogits
from .building import Teachers
from .step import StepRecord, View


class TeacherPass:
    """Runs the teachers and the finished peers on a view, or looks up their
    cached logits.

    Args:
        teachers (List): The teachers.
        distiller (CollectiveDistiller): Records the teachers.
        trained (bool): Whether the teachers are trained.
        finished_peers (FinishedPeers, optional): The finished peers. Defaults to
            None.

    Attributes:
        cache (CachedLogits, optional): The cached logits of the only teacher,
            which then does not run;
            :class:`~mmdckd.engine.hooks.TeacherCacheHook` sets it. Defaults
            to None.
    """

    def __init__(
        self,
        teachers: Teachers,
        distiller: CollectiveDistiller,
        trained: bool,
        finished_peers: Optional[FinishedPeers] = None,
    ) -> None:
        self._teachers = teachers
        self._distiller = distiller
        self._trained = trained
        self._finished_peers = finished_peers
        self.cache: Optional[CachedLogits] = None

    def __call__(
        self, view: View, step: StepRecord, distilling: bool
    ) -> Dict[str, torch.Tensor]:
        """Run the teachers, if a loss needs them, and the finished peers, and
        record their outputs.

        Args:
            view (View): The images.
            step (StepRecord): Receives what is recorded.
            distilling (bool): Whether distillation losses are computed.

        Returns:
            Dict[str, Tensor]: The task losses of trainable teachers.

        Raises:
            ValueError: If a trainable teacher has no labels; in the first step,
                if the cache does not match the teacher.
        """
        if distilling and self._finished_peers is not None:
            step.finished.append(self._finished_peers(view.inputs, view.samples))
        if not (self._trained or distilling and self._distiller.needs_teacher):
            return {}
        if self._trained and labeled_rows(view.samples) is None:
            raise missing_labels(
                'the task loss of the teacher',
                view.samples,
                'set `model.teacher_trainable=False`',
            )
        losses: Dict[str, torch.Tensor] = {}
        if self.cache is None:
            tensors, losses = self.run(view.inputs, view.samples)
        else:
            logits = self.cache.look_up(view.inputs, view.samples, self.logits)
            tensors = [{LOGITS: logits}]
        step.teachers.append(tensors)
        return losses

    def run(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> Tuple[List[Tensors], Dict[str, torch.Tensor]]:
        """Run every teacher once.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample], optional): B data samples.
                Defaults to None.

        Returns:
            tuple: What collective losses read of each of M teachers, by recorder,
            with the logits (B, C) as ``logits``; and the task losses of trainable
            teachers.
        """
        losses: Dict[str, torch.Tensor] = {}
        names = teacher_names(len(self._teachers))
        for index, (name, teacher) in enumerate(zip(names, self._teachers)):
            with self._distiller.recording_teacher(index):
                own = teacher(inputs, data_samples)
            losses.update(name_losses(TEACHER, name, own))
        return self._distiller.pop_teachers(), losses

    def logits(self, inputs: torch.Tensor) -> torch.Tensor:
        """Run the only teacher on images (B, 3, H, W).

        Returns:
            Tensor: Its logits (B, C).
        """
        (said,), _ = self.run(inputs)
        return said[LOGITS]
