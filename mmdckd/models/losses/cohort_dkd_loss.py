# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, Optional, Tuple

import torch

from mmdckd.registry import MODELS

from .functional import LEAST, divergence, soften
from .teacher_loss import TeacherLoss


@MODELS.register_module()
class CohortDKDLoss(TeacherLoss):
    r"""Distills the label and the other classes separately (DKD).

    .. math::
        L_i = \alpha \tau^2 KL(b_t \| b_i) + \beta \tau^2 KL(Q_t \| Q_i)

    with :math:`P = softmax(z / \tau)`, :math:`b = (P[y], 1 - P[y])` for the
    label against all other classes, and :math:`Q \propto P (1 - y)` for the
    other classes only. KL is a mean over the batch, in nats.

    The formula is that of `Decoupled Knowledge Distillation
    <https://arxiv.org/abs/2203.08679>`_ (Zhao et al., CVPR 2022), which
    raises the weights from 0 in the first 20 epochs: ``ramp=dict(end=20,
    kind='linear')``. MMRazor's ``DKDLoss``, for ``distill_losses``, has the
    same values. This loss is for ``collective_losses``: it stays finite for
    large logits, needs no recorder and supports cached teachers.

    Args:
        alpha (float): Weight of the label against the rest. Defaults to 1.0.
        beta (float): Weight of the other classes; the authors use 1 to 8.
            Defaults to 8.0.
        tau (float): Temperature. Defaults to 4.0.
        standardize (bool): Whether logits are standardized first (LSKD); see
            :func:`~mmdckd.models.losses.standardize.standardize`. Defaults
            to False.
        ramp (dict, optional): Arguments of :class:`WeightRamp`, a factor on
            both terms. Defaults to None: constant weights.

    Raises:
        ValueError: If a weight is negative or ``tau`` is not positive.

    Examples:
        >>> loss = CohortDKDLoss(beta=2.)
        >>> loss(torch.randn(1, 8, 10), torch.randn(8, 10), torch.arange(8))
        {'target': tensor([...]), 'non_target': tensor([...])}
    """

    needs_labels = True

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 8.0,
        tau: float = 4.0,
        standardize: bool = False,
        ramp: Optional[dict] = None,
    ) -> None:
        super().__init__(dict(alpha=alpha, beta=beta), tau, standardize, ramp)
        self.alpha = alpha
        self.beta = beta

    @property
    def weights(self) -> Dict[str, float]:
        """Dict[str, float]: Term to its weight."""
        return dict(target=self.alpha, non_target=self.beta)

    def compute(
        self,
        students: torch.Tensor,
        teacher: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute both terms of every student; see
        :meth:`TeacherLoss.compute`."""
        assert gt_labels is not None
        label = gt_labels.long().unsqueeze(-1)
        binary, rest = self._decouple(students, label)
        binary_t, rest_t = self._decouple(teacher, label)
        return dict(
            target=self.tau**2 * divergence(binary_t.exp(), binary),
            non_target=self.tau**2 * divergence(rest_t.exp(), rest),
        )

    def _decouple(
        self, logits: torch.Tensor, label: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Compute log b (..., B, 2) and log Q (..., B, C)."""
        log_probs = soften(self.scale(logits))
        label = label.expand(*log_probs.shape[:-1], 1)
        others = log_probs.scatter(-1, label, LEAST)
        binary = [log_probs.gather(-1, label), others.logsumexp(-1, True)]
        return torch.cat(binary, -1).clamp(LEAST, 0), soften(others)
