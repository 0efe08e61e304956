# Copyright (c) mmdckd contributors. All rights reserved.
"""The forward pass of frozen networks that several processes share."""

from typing import Dict, Optional

import torch

from ..cohorts.cohort_mesh import CohortMesh
from ..cohorts.finished_peers import FinishedPeers
from ..distillers import CollectiveDistiller
from .building import Teachers
from .step import StepRecord, View
from .teacher_pass import TeacherPass


class SharedTeacherPass(TeacherPass):
    """Runs teachers and finished peers on the share of the images of this
    process, and exchanges their logits while the students run.

    Args:
        teachers (List): The frozen teachers.
        distiller (CollectiveDistiller): Records the teachers.
        finished_peers (FinishedPeers, optional): The finished peers.
        mesh (CohortMesh): The processes that share the images.
    """

    def __init__(
        self,
        teachers: Teachers,
        distiller: CollectiveDistiller,
        finished_peers: Optional[FinishedPeers],
        mesh: CohortMesh,
    ) -> None:
        super().__init__(teachers, distiller, False, finished_peers)
        self._mesh = mesh

    def __call__(
        self, view: View, step: StepRecord, distilling: bool
    ) -> Dict[str, torch.Tensor]:
        """See :meth:`.TeacherPass.__call__`. The record has the logits of a share of
        the images until ``step.arrive`` completes it."""
        share, samples = self._mesh.share, view.samples
        own = View(share(view.inputs), samples and share(samples))
        losses = super().__call__(own, step, distilling)
        networks = [x for said in (*step.teachers, *step.finished) for x in said]
        tensors = {
            (number, key): tensor
            for number, said in enumerate(networks)
            for key, tensor in said.items()
        }
        if tensors:
            wait = self._mesh.gather_shares(tensors, len(view.inputs))

            def arrive() -> None:
                for (number, key), tensor in wait().items():
                    networks[number][key] = tensor

            step.arrive = arrive
        return losses
