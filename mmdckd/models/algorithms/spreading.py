# Copyright (c) mmdckd contributors. All rights reserved.
"""Spreads the students of a cohort over processes."""

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.structures import BaseDataElement
from torch import nn

from mmdckd.errors import invalid

from ..cohorts.cohort_mesh import CohortMesh
from ..cohorts.student_cohort import student_seed
from ..distillers.recorders import Tensors
from .building import Teachers
from .exchange import Exchange
from .student_pass import StudentPass
from .teacher_pass import TeacherPass


def spread(model: Any, mesh: CohortMesh) -> None:
    """Make a cohort hold only the students of this process.

    The others, with their connectors, move to the ``meta`` device: they keep
    names and shapes, which optimizers and checkpoints count, but no memory.

    Args:
        model (CollectiveDistill): The cohort, initialized.
        mesh (CohortMesh): The processes.

    Raises:
        ValueError: If a part of the model needs all students in one process.
    """
    check_spreadable(model)
    cohort, distiller = model.cohort, model.distiller
    cohort.hold(mesh.held)
    for name, each in distiller.student_distillers.items():
        if name not in mesh.held:
            each.to('meta')
    # MMRazor's losses read what the teacher recorded in their own process.
    shares_teachers = distiller.takes_teacher_logits_alone
    if shares_teachers:
        model.teacher_pass = SharedTeacherPass(model.teachers, distiller, mesh)
    model.student_pass = SeededPass(cohort.names, model.student_pass)
    model.exchange = Exchange(mesh, cohort, shares_teachers)


class SharedTeacherPass(TeacherPass):
    """Runs the teachers on the share of the images of this process.

    Args:
        teachers (List): The frozen teachers.
        distiller (CollectiveDistiller): Records the teachers.
        mesh (CohortMesh): The processes that share the images.
    """

    def __init__(self, teachers: Teachers, distiller: Any, mesh: CohortMesh) -> None:
        super().__init__(teachers, distiller, trained=False)
        self._mesh = mesh

    def run(
        self, inputs: torch.Tensor, data_samples: Optional[List[BaseDataElement]] = None
    ) -> Tuple[List[Tensors], Dict[str, torch.Tensor]]:
        """See :class:`TeacherPass`; the logits are of a share of the images."""
        return super().run(self._mesh.share(inputs))


class SeededPass:
    """Runs each student with random numbers of its own, in any process.

    Args:
        names (List[str]): The names of all students.
        run (Callable): Runs a student, by its name.
    """

    def __init__(self, names: List[str], run: Callable) -> None:
        self._names = names
        self._run = run

    def __call__(self, name: str, *args: Any) -> Dict[str, torch.Tensor]:
        """See :class:`.StudentPass`."""
        with student_seed(self._names.index(name)):
            return self._run(name, *args)


def check_spreadable(model: Any) -> None:
    """Check that no part of a model needs all students in one process.

    Raises:
        ValueError: If one does; the message names its config key.
    """
    distiller = model.distiller
    obstacles = {
        "`model.views='independent'`": model.views != 'shared',
        '`model.lagged_peers`': model.lagged_peers is not None,
        '`model.finished_peers`': model.finished_peers is not None,
        '`model.folds`': (
            model.folds is not None or not isinstance(model.student_pass, StudentPass)
        ),
        '`model.memory`': model.memory is not None,
        '`model.teacher_trainable=True`': model.teacher_trainable,
        '`model.student_trainable=False`': not model.student_trainable,
        '`distiller.distill_deliveries`': distiller.delivers,
        'parameters in `distiller.collective_losses`': any(
            True for _ in distiller.collective_losses.parameters()
        ),
        'SyncBatchNorm layers': any(
            isinstance(layer, nn.SyncBatchNorm) for layer in model.modules()
        ),
    }
    found = [what for what, is_there in obstacles.items() if is_there]
    if found:
        raise invalid(
            'model.parallel',
            f"'data' with {found[0]}, which needs all students in one process",
            'cohort',
        )
