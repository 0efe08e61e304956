# Copyright (c) mmdckd contributors. All rights reserved.
"""Record the inputs of collective losses for all members."""

from typing import Dict, List, Optional, Set

from mmengine.model import BaseModel
from torch import nn

from mmdckd.errors import did_you_mean

from ..cohorts.student_cohort import StudentCohort
from ..losses.base_collective_loss import LOGITS
from ..options import under
from .recorder_checks import check_margin, trains
from .recorders import (
    FeatureRecorder,
    LogitsRecorder,
    MemberRecorder,
    TensorRecorder,
    Tensors,
)

#: Name to the config of a recorder; None for the default recorder of logits.
Configs = Dict[str, Optional[dict]]


class CohortRecorders:
    """Records the inputs of collective losses in students and teachers.

    Args:
        losses (nn.ModuleDict): Name to collective loss.
        student_cfgs (dict): Name to the config of a student's recorder.
        teacher_cfgs (dict): Name to the config of a teacher's recorder.
    """

    def __init__(
        self, losses: nn.ModuleDict, student_cfgs: Configs, teacher_cfgs: Configs
    ) -> None:
        self._losses = losses
        self._cfgs = dict(student=student_cfgs, teacher=teacher_cfgs)
        # The statistics of a cohort need logits.
        read: Dict[str, List[str]] = dict(
            student=[LOGITS] if len(losses) else [], teacher=[]
        )
        for loss in losses.values():
            read['student'] += loss.inputs
            read['teacher'] += loss.inputs if loss.needs_teacher else []
        #: The names of the inputs, by role: ``student`` or ``teacher``.
        self.inputs = {role: list(dict.fromkeys(each)) for role, each in read.items()}
        self._students: Dict[str, MemberRecorder] = {}
        self._teachers: List[MemberRecorder] = []

    @property
    def features(self) -> Set[str]:
        """Set[str]: The names of the inputs other than logits."""
        return set(self.inputs['student']) - {LOGITS}

    def train_default_logits(self, names: List[str]) -> bool:
        """Return whether a loss trains the logits that students are recorded with if
        the config names no others."""
        return self._cfgs['student'][LOGITS] is None and any(
            LOGITS in loss.inputs and loss.sources(0, names, [])
            for loss in self._losses.values()
        )

    @property
    def logits_alone(self) -> bool:
        """bool: Whether only logits, the output of a network, are recorded."""
        return not self.features and all(
            cfgs[LOGITS] is None for cfgs in self._cfgs.values()
        )

    def attach_students(self, cohort: StudentCohort) -> None:
        """Attach the recorders of all students."""
        self._students = {}
        for name, each in cohort.items():
            with under(f'students.{name}'):
                self._students[name] = self.record('student', each)

    def attach_teachers(self, teachers: List[BaseModel]) -> None:
        """Attach the recorders of all teachers."""
        self._teachers = [self.record('teacher', each) for each in teachers]

    def record(
        self, role: str, network: BaseModel, inputs: Optional[List[str]] = None
    ) -> MemberRecorder:
        """Make the recorder of a network.

        Args:
            role (str): ``'student'`` or ``'teacher'``.
            network (:obj:`BaseModel`): The network.
            inputs (List[str], optional): The names of the inputs to record.
                Defaults to None: all that losses read in this role.

        Raises:
            ValueError: If an input of a loss has no recorder, or the source of
                a recorder does not exist or returns a margin.
        """
        recorders: Dict[str, TensorRecorder] = {}
        cfgs = self._cfgs[role]
        for name in self.inputs[role] if inputs is None else inputs:
            if name == LOGITS:
                key = f'distiller.{role}_logits'
                recorders[name] = LogitsRecorder(network, cfgs[name], key)
            else:
                cfg = self._find(name, role)
                key = f'distiller.{role}_recorders.{name}'
                recorders[name] = FeatureRecorder(network, cfg, key)
            if role == 'student' or trains(network):
                check_margin(recorders[name].recorder, network, key)
        return MemberRecorder(recorders)

    def _find(self, name: str, role: str) -> dict:
        cfg = self._cfgs[role].get(name)
        if cfg is not None:
            return cfg
        reader = next(key for key, loss in self._losses.items() if name in loss.inputs)
        known = [each for each in self._cfgs[role] if each != LOGITS]
        raise ValueError(
            f'Invalid `distiller.{role}_recorders`: expected a recorder named '
            f'{name!r}, which `distiller.collective_losses.{reader}` reads, got '
            f'{known or None}.' + did_you_mean(name, known)
        )

    def recording_teacher(self, index: int) -> MemberRecorder:
        """Return a context in which one teacher is recorded while it runs."""
        return self._teachers[index]

    def recording_student(self, name: str) -> MemberRecorder:
        """Return a context in which one student is recorded while it runs."""
        return self._students[name]

    def pop_student(self, name: str) -> Tensors:
        """Remove and return the records of a student, by recorder."""
        return self._students[name].pop()

    def pop_teachers(self) -> List[Tensors]:
        """Remove and return the records of each of the M teachers."""
        return [recorder.pop() for recorder in self._teachers]
