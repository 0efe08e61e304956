# Copyright (c) mmdckd contributors. All rights reserved.
"""Arrange the records of one step as the inputs of collective losses."""

from typing import Any, Dict, Iterable, List, Mapping, Sequence

import torch

from mmdckd.names import finished_name, teacher_names

from ..losses.base_collective_loss import LOGITS, BaseCollectiveLoss
from ..networks import check_same_classes
from .recorders import Tensors


class CollectiveInputs:
    """Arranges the records of students, teachers and peers by recorder.

    Args:
        students (Dict[str, Tensors]): The records of N students, by name.
        teachers (Sequence[Sequence[Tensors]]): The records of M teachers, on
            one view or on each student's; empty if the teachers did not run.
        peers (Dict[str, Tensors]): The records of N peers; empty if the students
            are the peers.
        finished (Sequence[Sequence[Tensors]]): The records of P finished peers,
            on one view or on each student's; empty if there are none.

    Attributes:
        students (dict): Recorder to the students' tensors: stacked logits
            (N, B, C), or N features, whose shapes may differ.
        teachers (dict): Recorder to the teachers' tensors: logits (M, B, C) or
            (M, N, B, C), or M features, or M times N.
        peers (dict): Recorder to the peers' tensors, in the form of
            ``students``; for finished peers, the logits on each student's view,
            (P, N, B, C).

    Raises:
        ValueError: If members of one kind predict different numbers of classes.
    """

    def __init__(
        self,
        students: Mapping[str, Tensors],
        teachers: Sequence[Sequence[Tensors]],
        peers: Mapping[str, Tensors],
        finished: Sequence[Sequence[Tensors]] = (),
    ) -> None:
        _check_classes('students', students, list(students.values()))
        for view in teachers:
            _check_classes('teacher', teacher_names(len(view)), view)
        for view in finished:
            names = map(finished_name, range(len(view)))
            _check_classes('model.finished_peers', names, view)
        self.students = _by_recorder(list(students.values()))
        self.peers = _by_recorder(list(peers.values()))
        self.teachers = _of_views(teachers)
        if finished:
            logits = _of_views(finished)[LOGITS]
            if len(finished) == 1:
                logits = logits.unsqueeze(1).expand(-1, len(students), -1, -1)
            self.peers = {LOGITS: logits}

    def of(self, loss: BaseCollectiveLoss) -> List[Any]:
        """Return the arguments of a loss: ``preds_S``, ``preds_T`` and, if the
        peers are not the students, ``preds_P``."""
        parts = [self.students, self.teachers, *([self.peers] if self.peers else [])]
        return [_choose(part, loss.inputs) for part in parts]


def _check_classes(key: str, names: Iterable[str], members: Sequence[Tensors]) -> None:
    """Check what not every head reports before the first step."""
    read = [each[LOGITS].shape[-1] for each in members if LOGITS in each]
    check_same_classes(key, dict(zip(names, read)))


def _of_views(views: Sequence[Sequence[Tensors]]) -> Dict[str, Any]:
    """Group the records of several networks, on one view or on each student's,
    by recorder."""
    each = [_by_recorder(of_one) for of_one in zip(*views)]
    if len(views) == 1:
        each = [{name: seen[0] for name, seen in of.items()} for of in each]
    return _by_recorder(each)


def _by_recorder(members: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
    names = members[0] if members else ()
    together: Dict[str, Any] = {
        name: tuple(member[name] for member in members) for name in names
    }
    if LOGITS in together:
        together[LOGITS] = torch.stack(together[LOGITS])
    return together


def _choose(part: Dict[str, Any], names: Sequence[str]) -> Any:
    """Return the records of one recorder, or of several by name; None if the
    members were not recorded for this loss."""
    if not set(names) <= set(part):
        return None
    return part[names[0]] if len(names) == 1 else {name: part[name] for name in names}
