# Copyright (c) mmdckd contributors. All rights reserved.
"""What is recorded of a cohort in a step, as collective losses take it."""

from typing import Any, Dict, List, Mapping, Sequence

import torch

from ..losses.base_collective_loss import LOGITS, BaseCollectiveLoss
from .recorders import Tensors


class CollectiveInputs:
    """The tensors of students, teachers and peers, put together by recorder.

    Args:
        students (Dict[str, Tensors]): Those of N students, by name.
        teachers (Sequence[Sequence[Tensors]]): Those of M teachers, on one
            view or on each student's; empty where the teachers did not run.
        peers (Dict[str, Tensors]): Those of N peers; empty where the students
            are the peers.
        finished (Sequence[Sequence[Tensors]]): Those of P finished peers, on
            one view or on each student's; empty where there are none.

    Attributes:
        students (dict): Recorder to the students' tensors: logits stacked
            (N, B, C), features as N tensors, whose shapes may differ.
        teachers (dict): The same of the teachers: logits (M, B, C) or
            (M, N, B, C); features as M tensors, or as M times N.
        peers (dict): The same of the peers, as ``students``; of finished ones
            the logits on each student's view, (P, N, B, C).
    """

    def __init__(
        self,
        students: Mapping[str, Tensors],
        teachers: Sequence[Sequence[Tensors]],
        peers: Mapping[str, Tensors],
        finished: Sequence[Sequence[Tensors]] = (),
    ) -> None:
        self.students = _by_recorder(list(students.values()))
        self.peers = _by_recorder(list(peers.values()))
        self.teachers = _of_views(teachers)
        if finished:
            logits = _of_views(finished)[LOGITS]
            if len(finished) == 1:
                logits = logits.unsqueeze(1).expand(-1, len(students), -1, -1)
            self.peers = {LOGITS: logits}

    def of(self, loss: BaseCollectiveLoss) -> List[Any]:
        """What a loss takes: ``preds_S``, ``preds_T`` and, of peers that are
        others than the students, ``preds_P``."""
        parts = [self.students, self.teachers, *([self.peers] if self.peers else [])]
        return [_choose(part, loss.inputs) for part in parts]

    def finished_of(self, blind: torch.Tensor) -> torch.Tensor:
        """The logits of other finished peers for each image.

        Args:
            blind (Tensor): The places of m peers for each image (m, B).

        Returns:
            Tensor: (m, N, B, C).
        """
        logits = self.peers[LOGITS]
        chosen = blind[:, None, :, None].expand(-1, *logits.shape[1:])
        return logits.gather(0, chosen)


def _of_views(views: Sequence[Sequence[Tensors]]) -> Dict[str, Any]:
    """The tensors of several networks, on one view or on each student's."""
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
    """What is recorded by one name, or by several; None of members that were
    not recorded for this loss."""
    if not set(names) <= set(part):
        return None
    return part[names[0]] if len(names) == 1 else {name: part[name] for name in names}
