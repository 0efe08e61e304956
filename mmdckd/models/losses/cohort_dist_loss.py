# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, Optional

import torch

from mmdckd.registry import MODELS

from .teacher_loss import TeacherLoss

#: Keeps the correlation of constant probabilities finite.
EPS = 1e-8


@MODELS.register_module()
class CohortDISTLoss(TeacherLoss):
    r"""Distills relations between predictions from the teacher (DIST).

    .. math::
        L_i = w_{inter} \tau^2 (1 - \overline{\rho}(P_i, P_t))
              + w_{intra} \tau^2 (1 - \overline{\rho}(P_i^T, P_t^T))

    with :math:`P = softmax(z / \tau)` (B, C), :math:`\rho` the Pearson
    correlation of two rows and :math:`\overline{\rho}` its mean: over the
    images, for the relations between classes (inter), and over the classes, for
    the relations between images (intra).

    The formula is that of `Knowledge Distillation from A Stronger Teacher
    <https://arxiv.org/abs/2205.10536>`_ (Huang et al., NeurIPS 2022).
    MMRazor's ``DISTLoss``, for ``distill_losses``, has the same values. This
    loss is for ``collective_losses``: it computes in float32 or more, needs no
    recorder and supports cached teachers.

    Args:
        inter_loss_weight (float): Weight of the relations between classes; the
            authors use 2 for both weights. Defaults to 2.0.
        intra_loss_weight (float): Weight of the relations between images.
            Defaults to 2.0.
        tau (float): Temperature; the authors use 4 on CIFAR-100 and 1 on
            ImageNet. Defaults to 4.0.
        standardize (bool): Whether logits are standardized first (LSKD); see
            :func:`~mmdckd.models.losses.standardize.standardize`. Defaults
            to False.
        ramp (dict, optional): Arguments of :class:`WeightRamp`, a factor on
            both terms. Defaults to None: constant weights.

    Raises:
        ValueError: If a weight is negative or ``tau`` is not positive.

    Examples:
        >>> loss = CohortDISTLoss()
        >>> loss(torch.randn(1, 8, 10), torch.randn(8, 10))
        {'inter': tensor([...]), 'intra': tensor([...])}
    """

    def __init__(
        self,
        inter_loss_weight: float = 2.0,
        intra_loss_weight: float = 2.0,
        tau: float = 4.0,
        standardize: bool = False,
        ramp: Optional[dict] = None,
    ) -> None:
        super().__init__(
            dict(
                inter_loss_weight=inter_loss_weight, intra_loss_weight=intra_loss_weight
            ),
            tau,
            standardize,
            ramp,
        )
        self.inter_loss_weight = inter_loss_weight
        self.intra_loss_weight = intra_loss_weight

    @property
    def weights(self) -> Dict[str, float]:
        """Dict[str, float]: Term to its weight."""
        return dict(inter=self.inter_loss_weight, intra=self.intra_loss_weight)

    def compute(
        self,
        students: torch.Tensor,
        teacher: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute both terms of every student; see
        :meth:`TeacherLoss.compute`."""
        probs = self.scale(students).softmax(-1)
        target = self.scale(teacher).softmax(-1)
        return {
            term: self.tau**2 * (1 - _correlation(probs, target, dim).mean(-1))
            for term, dim in (('inter', -1), ('intra', -2))
        }


def _correlation(a: torch.Tensor, b: torch.Tensor, dim: int) -> torch.Tensor:
    """Pearson correlation along a dimension."""
    a = a - a.mean(dim, keepdim=True)
    b = b - b.mean(dim, keepdim=True)
    norms = [torch.linalg.vector_norm(x, dim=dim) for x in (a, b)]
    return (a * b).sum(dim) / (norms[0] * norms[1] + EPS)
