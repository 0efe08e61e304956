# Copyright (c) mmdckd contributors. All rights reserved.
"""The exchange between processes that hold different students."""

import hashlib
from typing import Any, Dict, Hashable, List, Mapping, Tuple

import torch
from mmengine.dist import all_gather_object
from mmengine.structures import BaseDataElement
from torch import nn

from ..cohorts.cohort_mesh import CohortMesh, as_bytes
from ..cohorts.student_cohort import StudentCohort, equal_students
from ..distillers.recorders import Tensors
from ..tasks import Classification
from .copied_losses import mean_of
from .step import StepRecord

STUDENT, PEER, LOSS = 'student', 'peer', 'loss'


class Exchange:
    """Completes what this process recorded by what its peers recorded.

    Args:
        mesh (CohortMesh): The processes.
        cohort (StudentCohort): The students.
    """

    def __init__(self, mesh: CohortMesh, cohort: StudentCohort) -> None:
        self.mesh = mesh
        self._cohort = cohort

    def __call__(
        self, step: StepRecord, losses: Dict[str, torch.Tensor]
    ) -> Dict[str, torch.Tensor]:
        """Exchange the outputs of the students by one all-gather, and wait for
        those of teachers and finished peers.

        Afterwards ``step`` has the tensors of all N students and of their peers,
        detached if they are of other processes.

        Args:
            step (StepRecord): What this process recorded.
            losses (Dict[str, Tensor]): The losses of its students by name.

        Returns:
            Dict[str, Tensor]: The losses of all students, in their order; those
            of other processes are detached.
        """
        own: Dict[Any, torch.Tensor] = {
            (kind, name, key): tensor
            for kind, members in ((STUDENT, step.students), (PEER, step.peers))
            for name, tensors in members.items()
            for key, tensor in tensors.items()
        }
        own.update(((LOSS, name), mean_of(loss)) for name, loss in losses.items())

        all_losses: Dict[str, torch.Tensor] = {}
        records: Dict[str, Dict[str, Tensors]] = {
            STUDENT: {name: {} for name in self._cohort.names},
            PEER: {},
        }
        for place, part in enumerate(self.mesh.gather(own)):
            for (kind, name, *key), tensor in part.items():
                if kind == LOSS:
                    all_losses[name] = losses.get(name, tensor)
                else:
                    if place == self.mesh.place:  # with its gradient
                        tensor = own[kind, name, key[0]]
                    records[kind].setdefault(name, {})[key[0]] = tensor
        step.students, step.peers = records[STUDENT], records[PEER]
        if step.arrive is not None:
            step.arrive()
        return all_losses

    def predict(
        self,
        inputs: torch.Tensor,
        data_samples: List[BaseDataElement],
        task: Classification,
    ) -> Dict[str, List[BaseDataElement]]:
        """Predict with every student.

        Each process has images of its own, as many as its peers but not always of
        the same size. It runs its students on the images of all.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W) of this process.
            data_samples (List[DataSample]): B data samples; they are not
                changed.
            task (Classification): Turns scores into labels.

        Returns:
            Dict[str, List[DataSample]]: The B predictions of each student.
        """
        parts = self.mesh.gather({'inputs': inputs}, known=False)
        batches = [part['inputs'] for part in parts]
        if len({batch.shape for batch in batches}) == 1:
            batches = [torch.cat(batches)]
        scores = {
            name: torch.stack(
                [
                    sample.pred_score
                    for images in batches
                    for sample in student(images, mode='predict')
                ]
            )
            for name, student in self._cohort.items()
        }
        start = self.mesh.place * len(inputs)
        members: Dict[str, List[BaseDataElement]] = {}
        for part in self.mesh.gather(scores):
            for name, of_all in part.items():
                head = getattr(self._cohort.students[name], 'head', None)
                members[name] = [
                    sample.new()
                    .set_pred_score(score)
                    .set_pred_label(task.decide(score, head))
                    for sample, score in zip(data_samples, of_all[start:])
                ]
        return members

    def check_distinct(self, lessons: Mapping[str, Hashable]) -> None:
        """Check that no two students of any processes would stay equal; see
        :meth:`.StudentCohort.check_distinct`."""
        own = {name: _digest(each) for name, each in self._cohort.predictable()}
        seen: Dict[Tuple[bytes, Hashable], str] = {}
        for part in all_gather_object(own, self.mesh.peers):
            for name, digest in part.items():
                key = digest, lessons.get(name)
                if key in seen:
                    raise equal_students(seen[key], name)
                seen[key] = name


def _digest(network: nn.Module) -> bytes:
    content = hashlib.blake2b(digest_size=16)
    for parameter in network.parameters():
        content.update(str(tuple(parameter.shape)).encode())
        content.update(as_bytes(parameter).cpu().numpy().data)
    return content.digest()
