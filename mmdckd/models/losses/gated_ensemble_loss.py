# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional

import torch
import torch.nn.functional as F
from torch import nn

from mmdckd.registry import MODELS

from ..options import check_count, check_temperature, check_weight
from .functional import divergence, soften
from .logit_loss import LogitLoss


@MODELS.register_module()
class GatedEnsembleLoss(LogitLoss):
    r"""Distills a gated ensemble of the cohort into every student.

    .. math::
        L_i &= w \tau^2 KL(P_e \| P_i) + \frac{1}{N} H(y, softmax(z_e)) \\
        z_e &= \sum_j g_j z_j, \qquad
        g = softmax(W [P_1; \ldots; P_N] + b)

    with :math:`P_i = softmax(z_i / \tau)` and
    :math:`P_e = softmax(z_e / \tau)`; KL and H are means over the batch. Only
    the second term, the ensemble's cross-entropy, trains the gate, W and b,
    which starts with equal weights.

    It follows ONE, `Knowledge Distillation by On-the-Fly Native Ensemble
    <https://arxiv.org/abs/1806.04606>`_ (Lan et al., NeurIPS 2018, equations
    5 to 8). There the members are branches of one network, the gate sees the
    features they share and the ensemble's cross-entropy trains the branches
    too. Here the students share no features: the gate sees their predictions,
    and the ensemble is detached from the students.

    Args:
        num_students (int): N, the number of students in the cohort.
        num_classes (int): C.
        loss_weight (float): w, 0 or more. Defaults to 1.0.
        tau (float): Temperature. Defaults to 3.0, as in the paper.

    Raises:
        ValueError: If an option is invalid.

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
        check_weight('loss_weight', loss_weight)
        check_count('num_students', num_students)
        check_count('num_classes', num_classes)
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
        """List the members that each term learns from; see
        :meth:`BaseCollectiveLoss.sources`."""
        return dict(collective=list(peers), gate=list(peers))

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check that the gate fits the cohort; see
        :meth:`BaseCollectiveLoss.check_cohort`."""
        if num_students != self.num_students:
            raise ValueError(
                f'Invalid `num_students` of the gate: expected {num_students}, as '
                f'the cohort has, got {self.num_students}.'
            )
        if num_students < 2:
            raise ValueError(
                'Invalid `num_students`: expected 2 or more, as a student learns '
                'from its peers, got 1.'
            )

    def terms(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        peers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute ``collective``, weight included, and ``gate``, the ensemble's
        cross-entropy divided by N; see :meth:`LogitLoss.terms`."""
        assert gt_labels is not None
        number, _, num_classes = students.shape
        if num_classes != self.num_classes:
            raise ValueError(
                f'Invalid `num_classes` of the gate: expected {num_classes}, as the '
                f'logits have, got {self.num_classes}.'
            )
        ensemble = self._combine(students.detach() if peers is None else peers)
        target = (ensemble.detach() / self.tau).softmax(-1)
        collective = divergence(target, soften(students, self.tau))
        labels = gt_labels.to(torch.long if gt_labels.ndim == 1 else ensemble.dtype)
        gate = F.cross_entropy(ensemble, labels)
        return dict(
            collective=self.loss_weight * self.tau**2 * collective,
            gate=(gate / number).expand(number),
        )

    def _combine(self, members: torch.Tensor) -> torch.Tensor:
        """Compute the ensemble's logits (B, C) from the members' (N, B, C).

        Log-probabilities replace logits: they differ by a constant in each row,
        which does not change the ensemble's prediction.
        """
        inputs = soften(members, self.tau).exp().transpose(0, 1).flatten(1)
        weight, bias = self.gate.weight.to(inputs), self.gate.bias.to(inputs)
        shares = F.linear(inputs, weight, bias).softmax(-1)
        return torch.einsum('bn,nbc->bc', shares, soften(members))
