# Copyright (c) mmdckd contributors. All rights reserved.
"""Spreads the students of a cohort over processes."""

from typing import Any, Callable, Dict, List

import torch
from torch import nn

from mmdckd.errors import invalid

from ..cohorts.cohort_mesh import CohortMesh
from ..cohorts.student_cohort import student_seed
from .exchange import Exchange
from .shared_teacher_pass import SharedTeacherPass


def spread(model: Any, mesh: CohortMesh) -> None:
    """Make a cohort hold only the students of this process.

    The others, with their connectors and lagged copies, move to the ``meta``
    device: they keep names and shapes, which optimizers and checkpoints count,
    but no memory.

    Args:
        model (CollectiveDistill): The cohort, initialized.
        mesh (CohortMesh): The processes.

    Raises:
        ValueError: If a part of the model needs all students in one process.
    """
    check_spreadable(model)
    cohort, distiller = model.cohort, model.distiller
    cohort.hold(mesh.held)
    lagged = {} if model.lagged_peers is None else model.lagged_peers.students
    for networks in (distiller.student_distillers, lagged):
        for name, each in networks.items():
            if name not in mesh.held:
                each.to('meta')
    # MMRazor's losses read what the teacher recorded in their own process.
    if distiller.takes_teacher_logits_alone or not distiller.needs_teacher:
        model.teacher_pass = SharedTeacherPass(
            model.teachers, distiller, model.finished_peers, mesh
        )
    model.student_pass = SeededPass(cohort.names, model.student_pass)
    model.exchange = Exchange(mesh, cohort)


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
    """Check that processes can hold different students of a model.

    Raises:
        ValueError: If they cannot; the message names the config key.
    """
    distiller = model.distiller
    obstacles = {
        "`model.views='independent'`, as peers must see the same images": (
            model.views != 'shared'
        ),
        '`model.teacher_trainable=True`, as each process has one teacher': (
            model.teacher_trainable
        ),
        '`distiller.distill_deliveries`, which every student must receive': (
            distiller.delivers
        ),
        'parameters in `distiller.collective_losses`, which all students train': any(
            True for _ in distiller.collective_losses.parameters()
        ),
        'SyncBatchNorm layers, which would average over different students': any(
            isinstance(layer, nn.SyncBatchNorm) for layer in model.modules()
        ),
    }
    found = [what for what, is_there in obstacles.items() if is_there]
    if found:
        raise invalid('model.parallel', f"'data' with {found[0]}", 'cohort')
