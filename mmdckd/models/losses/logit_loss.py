# Copyright (c) mmdckd contributors. All rights reserved.
from abc import abstractmethod
from typing import Dict, Optional, Sequence

import torch

from ..precision import at_least_float32
from .base_collective_loss import BaseCollectiveLoss, Logits


class LogitLoss(BaseCollectiveLoss):
    """Base of losses that are a formula on the logits of a cohort.

    A subclass implements the formula in :meth:`terms`. This class checks logits
    and labels, stacks the logits in float32 (float64 for float64), also under
    autocast, and detaches the logits of teachers and peers.
    """

    @abstractmethod
    def terms(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        peers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute the terms of every student.

        Args:
            students (Tensor): Logits of the N students (N, B, C).
            teachers (Tensor, optional): Logits of the M teachers (M, B, C), or
                (M, N, B, C) with independent views. None without a teacher, or
                if not ``needs_teacher``.
            peers (Tensor, optional): Logits of the N peers (N, B, C), if they
                are not the students themselves.
            gt_labels (Tensor, optional): Valid labels, class indices (B,) or
                probabilities (B, C). Not None if there are ``label_users``.

        Returns:
            Dict[str, Tensor]: Term to its values (N,), weights included.
        """

    def forward(
        self,
        preds_S: Logits,
        preds_T: Optional[Logits] = None,
        gt_labels: Optional[torch.Tensor] = None,
        preds_P: Optional[Logits] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss of every student; see
        :meth:`BaseCollectiveLoss.forward`.

        Raises:
            ValueError: If shapes or labels are invalid, or the loss does not
                fit the cohort.
        """
        students = self.split_students(preds_S)
        if gt_labels is not None:
            self.check_labels(gt_labels, students[0])
        elif self.label_users:
            raise ValueError(
                'Invalid `gt_labels`: expected labels for '
                f'{" and ".join(self.label_users)}, got None.'
            )
        teachers = peers = None
        if self.needs_teacher and preds_T is not None:
            teachers = self.split_teachers(preds_T, students)
        if preds_P is not None:
            peers = self.split_peers(preds_P, students)
        self.check_cohort(len(students), len(teachers or ()))
        with torch.autocast(students[0].device.type, enabled=False):
            return self.terms(
                _stack(students),
                None if teachers is None else _stack(teachers),
                None if peers is None else _stack(peers),
                gt_labels,
            )


def _stack(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([at_least_float32(z) for z in logits])
