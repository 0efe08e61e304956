# Copyright (c) mmdckd contributors. All rights reserved.
"""The exchange between processes that hold different students."""

import hashlib
from typing import Any, Dict, List, Tuple

import torch
from mmengine.dist import all_gather_object
from mmengine.structures import BaseDataElement
from torch import nn

from ..cohorts.cohort_mesh import CohortMesh, as_bytes
from ..cohorts.student_cohort import StudentCohort, equal_students
from ..losses.base_collective_loss import LOGITS
from ..tasks import Classification
from .finite_guard import mean_of
from .step import StepRecord

STUDENT, TEACHER, LOSS = 'student', 'teacher', 'loss'


class Exchange:
    """Completes what this process recorded by what its peers recorded.

    Args:
        mesh (CohortMesh): The processes.
        cohort (StudentCohort): The students.
        shares_teachers (bool): Whether each process runs the teachers only on
            its share of the images.
    """

    def __init__(
        self, mesh: CohortMesh, cohort: StudentCohort, shares_teachers: bool
    ) -> None:
        self.mesh = mesh
        self._cohort = cohort
        self._shares_teachers = shares_teachers

    def __call__(
        self, step: StepRecord, losses: Dict[str, torch.Tensor]
    ) -> Dict[str, torch.Tensor]:
        """Exchange the outputs of students and teachers by one all-gather.

        Afterwards ``step`` has the tensors of all N students, detached if they
        are of other processes, and the teachers' logits for all images.

        Args:
            step (StepRecord): What this process recorded.
            losses (Dict[str, Tensor]): The losses of its students by name.

        Returns:
            Dict[str, Tensor]: The losses of all students, in their order; those
            of other processes are detached.
        """
        own: Dict[Any, torch.Tensor] = {
            (STUDENT, name, key): tensor
            for name, tensors in step.students.items()
            for key, tensor in tensors.items()
        }
        teachers = step.teachers[0] if self._shares_teachers and step.teachers else []
        own.update(
            ((TEACHER, number, key), tensor)
            for number, tensors in enumerate(teachers)
            for key, tensor in tensors.items()
        )
        own.update(((LOSS, name), mean_of(loss)) for name, loss in losses.items())

        all_losses: Dict[str, torch.Tensor] = {}
        students = {name: step.students.get(name, {}) for name in self._cohort.names}
        shares: Dict[Tuple[int, str], List[torch.Tensor]] = {}
        for place, part in enumerate(self.mesh.gather(own)):
            for (kind, *where), tensor in part.items():
                if kind == TEACHER:
                    shares.setdefault((where[0], where[1]), []).append(tensor)
                elif kind == LOSS:
                    all_losses[where[0]] = losses.get(where[0], tensor)
                elif place != self.mesh.place:
                    students[where[0]][where[1]] = tensor
        step.students = students
        for (number, key), tensors in shares.items():
            size = len(students[self._cohort.held[0]][LOGITS])
            teachers[number][key] = torch.cat(tensors)[:size]
        return all_losses

    def predict(
        self,
        inputs: torch.Tensor,
        data_samples: List[BaseDataElement],
        task: Classification,
    ) -> Dict[str, List[BaseDataElement]]:
        """Predict with every student.

        Each process has images of its own, and as many as its peers. It runs
        its students on the images of all.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W) of this process.
            data_samples (List[DataSample]): B data samples; they are not
                changed.
            task (Classification): Turns scores into labels.

        Returns:
            Dict[str, List[DataSample]]: The B predictions of each student.
        """
        parts = self.mesh.gather({'inputs': inputs})
        images = torch.cat([part['inputs'] for part in parts])
        scores = {
            name: torch.stack(
                [sample.pred_score for sample in student(images, mode='predict')]
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

    def check_distinct(self) -> None:
        """Check that no two students of any processes would stay equal; see
        :meth:`.StudentCohort.check_distinct`."""
        own = {name: _digest(each) for name, each in self._cohort.predictable()}
        seen: Dict[bytes, str] = {}
        for part in all_gather_object(own, self.mesh.peers):
            for name, digest in part.items():
                if digest in seen:
                    raise equal_students(seen[digest], name)
                seen[digest] = name


def _digest(network: nn.Module) -> bytes:
    content = hashlib.blake2b(digest_size=16)
    for parameter in network.parameters():
        content.update(str(tuple(parameter.shape)).encode())
        content.update(as_bytes(parameter).cpu().numpy().data)
    return content.digest()
