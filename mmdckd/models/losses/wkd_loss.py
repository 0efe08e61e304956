# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional

import torch
import torch.nn.functional as F

from mmdckd.registry import MODELS

from ..options import check_count, check_positive
from .class_distances import read_distances
from .functional import soften
from .teacher_loss import TeacherLoss

#: Avoids divisions by 0 in Sinkhorn's iterations.
EPS = 1e-8


@MODELS.register_module()
class WKDLoss(TeacherLoss):
    r"""Distills the teacher's logits by a Wasserstein distance (WKD-L).

    .. math::
        L_i = - w_{target} P_t[y] \log P_i[y]
              + w_{transport} \min_{q \in \Pi(Q_i, Q_t)}
                \sum_{ab} q_{ab} c_{ab} + \lambda q_{ab} \log q_{ab}

    with :math:`P = softmax(z)` and the predictions of the other classes
    :math:`Q \propto softmax(z / \tau) (1 - y)`. The second term is the cost of
    moving the student's probabilities of these classes to the teacher's. Moving
    between similar classes is cheap:

    .. math:: c_{ab} = 1 - \exp(-\kappa d_{ab})

    Losses are means over the batch. A few of Sinkhorn's iterations approximate
    the transport plan q.

    The formula is that of `Wasserstein Distance Rivals Kullback-Leibler
    Divergence for Knowledge Distillation <https://arxiv.org/abs/2412.08139>`_
    (Lv et al., NeurIPS 2024). By default, d is one minus the cosine between two
    classes' weights in the teacher's last layer, one of the measures that the
    paper compares. The measure it prefers, 1 - CKA of the classes' features,
    can be given as a file. All images share one kernel
    :math:`\exp(-c / \lambda)`, so memory grows with B C, not with B C^2 as in
    the authors' code. That code reduces the weight of the transport in the last
    epochs on CIFAR-100; here it is constant.

    Args:
        target_weight (float): Weight of the label. Defaults to 1.0.
        transport_weight (float): Weight of the other classes; the authors
            use 30 on ImageNet and 600 (with ``tau=8``) on CIFAR-100.
            Defaults to 30.0.
        tau (float): Temperature of the other classes. Defaults to 2.0.
        cost (str, optional): An ``.npy`` file of d (C, C), 0 on its diagonal.
            Defaults to None: d comes from the teacher's last layer.
        sharpness (float): :math:`\kappa`, above 0. Defaults to 1.0.
        regularization (float): :math:`\lambda`, above 0; if it is much smaller
            than the default, expensive moves underflow. Defaults to 0.05.
        num_iters (int): Number of Sinkhorn's iterations. Defaults to 10.
        ramp (dict, optional): Arguments of :class:`WeightRamp`, a factor on
            both terms. Defaults to None: constant weights.

    Raises:
        ValueError: If a number is out of range, or ``cost`` is not a valid
            file.

    Examples:
        >>> loss = WKDLoss(transport_weight=600., tau=8.)
    """

    needs_labels = True

    def __init__(
        self,
        target_weight: float = 1.0,
        transport_weight: float = 30.0,
        tau: float = 2.0,
        cost: Optional[str] = None,
        sharpness: float = 1.0,
        regularization: float = 0.05,
        num_iters: int = 10,
        ramp: Optional[dict] = None,
    ) -> None:
        super().__init__(
            dict(target_weight=target_weight, transport_weight=transport_weight),
            tau,
            ramp=ramp,
        )
        check_positive('sharpness', sharpness)
        check_positive('regularization', regularization)
        check_count('num_iters', num_iters)
        self.target_weight = target_weight
        self.transport_weight = transport_weight
        self.cost = cost
        self.sharpness = sharpness
        self.regularization = regularization
        self.num_iters = num_iters
        self.needs_prototypes = cost is None
        #: c (C, C); not saved, as it follows from the teacher.
        self.costs: Optional[torch.Tensor]
        self.register_buffer('costs', None, persistent=False)
        if cost is not None:
            self._set_distances(read_distances(cost))

    def take_prototypes(self, prototypes: List[torch.Tensor]) -> None:
        """Compute the distances between classes from the teachers' last layer.

        Args:
            prototypes (List[Tensor]): The weights (C, D) of each teacher's last
                layer.
        """
        directions = [F.normalize(w.detach().float()) for w in prototypes]
        self._set_distances(torch.stack([1 - w @ w.mT for w in directions]).mean(0))

    def _set_distances(self, distances: torch.Tensor) -> None:
        costs = 1 - torch.exp(-self.sharpness * distances)
        self.costs = costs.clamp_min(0) + EPS

    @property
    def weights(self) -> Dict[str, float]:
        """Dict[str, float]: Term to its weight."""
        return dict(target=self.target_weight, transport=self.transport_weight)

    def compute(
        self,
        students: torch.Tensor,
        teacher: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute both terms of every student; see
        :meth:`TeacherLoss.compute`."""
        assert gt_labels is not None
        num_classes = students.shape[-1]
        if self.costs is None or len(self.costs) != num_classes:
            raise ValueError(
                f'Invalid `cost`: expected distances of {num_classes} '
                'classes, got '
                + (
                    'none: call `take_prototypes` first.'
                    if self.costs is None
                    else f'{len(self.costs)} classes.'
                )
            )
        label = gt_labels.long().unsqueeze(-1)
        log_p, log_t = soften(students), soften(teacher)
        target = -_at(log_t, label).exp() * _at(log_p, label)
        start, end = (self._others(students, label), self._others(teacher, label))
        transport = self._transport(start, end, self.costs.to(start), label)
        return dict(target=target.mean(-1), transport=transport.mean(-1))

    def _others(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Compute Q (..., B, C), which is 0 for the label."""
        label = label.expand(*logits.shape[:-1], 1)
        return self.scale(logits).scatter(-1, label, -torch.inf).softmax(-1)

    def _transport(
        self,
        start: torch.Tensor,
        end: torch.Tensor,
        costs: torch.Tensor,
        label: torch.Tensor,
    ) -> torch.Tensor:
        """Compute the cost (..., B) of the plan u K v. Sinkhorn's iterations
        scale u and v in turn until the plan's marginals are ``start`` and
        ``end``; both are 0 for the label."""
        kernel = torch.exp(-costs / self.regularization)
        u = torch.full_like(start, 1 / (len(costs) - 1))
        u = u.scatter(-1, label.expand(*start.shape[:-1], 1), 0.0)
        for _ in range(self.num_iters):
            v = end / (u @ kernel + EPS)
            u = start / (v @ kernel.mT + EPS)
        return (u * (v @ (kernel * costs).mT)).sum(-1)

    def extra_repr(self) -> str:
        return (
            f'{super().extra_repr()}, cost={self.cost!r}, '
            f'sharpness={self.sharpness}, '
            f'regularization={self.regularization}, '
            f'num_iters={self.num_iters}'
        )


def _at(log_probs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    label = label.expand(*log_probs.shape[:-1], 1)
    return log_probs.gather(-1, label).squeeze(-1)
