# Copyright (c) mmdckd contributors. All rights reserved.
import math
from numbers import Real
from typing import Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from mmdckd.registry import MODELS

from .base_collective_loss import BaseCollectiveLoss, Logits
from .cohort_terms import CohortTerms, soften
from .temperature import check_temperature


@MODELS.register_module()
class GatedEnsembleLoss(BaseCollectiveLoss):
    r"""A gated ensemble of the cohort teaches every student.

    .. math::
        L_i &= w \tau^2 KL(P_e \| P_i) + \frac{1}{N} H(y, softmax(z_e)) \\
        z_e &= \sum_j g_j z_j, \qquad
        g = softmax(W [P_1; \dots; P_N] + b)

    with :math:`P_i = softmax(z_i / \tau)` and
    :math:`P_e = softmax(z_e / \tau)`; KL and H are means over the batch. The
    gate, W and b, is trained on the labels, by the second term, and by it
    alone; it starts with equal weights.

    It follows ONE, `Knowledge Distillation by On-the-Fly Native Ensemble
    <https://arxiv.org/abs/1806.04606>`_ (Lan et al., NeurIPS 2018, equations
    5 to 8). There the members are branches of one network, the gate sees the
    features they share and the ensemble's cross-entropy trains the branches
    too. Students here share nothing: the gate sees what they predict, and
    what a student learns from is detached.

    Args:
        num_students (int): N, that of the cohort.
        num_classes (int): C.
        loss_weight (float): w, 0 or more. Defaults to 1.0.
        tau (float): Temperature. Defaults to 3.0, as in the paper.

    Raises:
        ValueError: If ``tau`` is none, ``loss_weight`` negative, or a number
            is no whole one from 1 on.

    Examples:
        >>> loss = GatedEnsembleLoss(num_students=3, num_classes=10)
        >>> loss(torch.randn(3, 8, 10), None, torch.randint(10, (8, )))
        {'collective': tensor([...]), 'gate': tensor([...])}
    """

    needs_teacher = False
    needs_labels = True

    def __init__(
        self,
        num_students: int,
        num_classes: int,
        loss_weight: float = 1.0,
        tau: float = 3.0,
    ) -> None:
        super().__init__()
        check_temperature(tau)
        if not isinstance(loss_weight, Real) or not 0 <= loss_weight < math.inf:
            raise ValueError(
                f'`loss_weight` is a weight, 0 or more, but got {loss_weight!r}.'
            )
        for key, value in dict(
            num_students=num_students, num_classes=num_classes
        ).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f'`{key}` is a whole number from 1 on, but got {value!r}.'
                )
        self.num_students = num_students
        self.num_classes = num_classes
        self.loss_weight = loss_weight
        self.tau = tau
        self.gate = nn.Linear(num_students * num_classes, num_students)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """Tell whose knowledge is in the terms of one student's loss; see
        :meth:`BaseCollectiveLoss.sources`."""
        return dict(collective=list(peers), gate=list(peers))

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check, before training, that the gate fits the cohort.

        Args:
            num_students (int): N.
            num_teachers (int): M; none is needed.

        Raises:
            ValueError: If there is one student, or not as many as the gate
                is for.
        """
        if num_students != self.num_students:
            raise ValueError(
                f'`num_students={self.num_students}` of the gate, but the '
                f'cohort has {num_students}: give both the same.'
            )
        if num_students < 2:
            raise ValueError(
                'there is no peer: `num_students` is 1. Train two students or more.'
            )

    def forward(
        self,
        preds_S: Logits,
        preds_T: Optional[Logits] = None,
        gt_labels: Optional[torch.Tensor] = None,
        preds_P: Optional[Logits] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss of every student.

        Args:
            preds_S (Tensor or Sequence[Tensor]): Logits of N students,
                (N, B, C), or N times (B, C).
            preds_T (Tensor, optional): Not looked at. Defaults to None.
            gt_labels (Tensor, optional): Class indices (B,) or probabilities
                (B, C). Defaults to None, which is an error.
            preds_P (Tensor or Sequence[Tensor], optional): Logits of the N
                members of the ensemble, of shapes as ``preds_S``. Defaults to
                None, ``preds_S``.

        Returns:
            Dict[str, Tensor]: ``collective`` (N,), weight included, and
            ``gate`` (N,), an Nth of the ensemble's cross-entropy each.

        Raises:
            ValueError: If shapes or labels are wrong, or there are none.
        """
        students = self.split_students(preds_S)
        self.check_cohort(len(students), 0)
        num_classes = students[0].shape[1]
        if num_classes != self.num_classes:
            raise ValueError(
                f'`num_classes={self.num_classes}` of the gate, '
                f'but the logits have {num_classes} classes.'
            )
        if gt_labels is None:
            raise ValueError(
                'GatedEnsembleLoss trains its gate on labels, but `gt_labels` is None.'
            )
        self.check_labels(gt_labels, students[0])
        members = self.split_peers(preds_S if preds_P is None else preds_P, students)
        with torch.autocast(students[0].device.type, enabled=False):
            ensemble = self._combine(members)
            target = (ensemble.detach() / self.tau).softmax(-1)
            collective = CohortTerms.apply(
                lambda rows, _: (target[rows], None, None), False, self.tau, *students
            )[0]
            gt_labels = gt_labels.to(
                torch.long if gt_labels.ndim == 1 else ensemble.dtype
            )
            gate = F.cross_entropy(ensemble, gt_labels)
        return dict(
            collective=self.loss_weight * self.tau**2 * collective,
            gate=(gate / len(students)).expand(len(students)),
        )

    def _combine(self, members: Sequence[torch.Tensor]) -> torch.Tensor:
        """The ensemble's logits (B, C), of the members', N times (B, C).

        Log-probabilities stand in for logits: a constant of each row makes
        one of the ensemble's, which is what it predicts all the same.
        """
        inputs = soften(members, self.tau).exp().transpose(0, 1).flatten(1)
        shares = F.linear(
            inputs, self.gate.weight.to(inputs), self.gate.bias.to(inputs)
        ).softmax(-1)
        return torch.einsum('bn,nbc->bc', shares, soften(members, 1.0))
