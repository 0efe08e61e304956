# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, Optional, Sequence

import torch

from mmdckd.errors import invalid
from mmdckd.registry import MODELS

from ..options import check_temperature
from .functional import divergence, soften
from .standardize import standardize as standardized
from .teacher_loss import TeacherLoss


@MODELS.register_module()
class MLKDLoss(TeacherLoss):
    r"""Distills predictions and their relations at several temperatures (MLKD).

    .. math::
        L_i = \sum_{\tau} w_{ins} \tau^2 KL(P_t \| P_i)
            + \frac{w_{batch}}{B} \|P_t P_t^T - P_i P_i^T\|_F^2
            + \frac{w_{class}}{C} \|P_t^T P_t - P_i^T P_i\|_F^2

    with :math:`P = softmax(z / \tau)` (B, C). The terms compare the prediction
    for each image, the similarities between the images of the batch, and the
    similarities between classes. KL is a mean over the batch, in nats.

    The formula is that of `Multi-Level Logit Distillation
    <https://openaccess.thecvf.com/content/CVPR2023/html/Jin_Multi-Level_Logit_Distillation_CVPR_2023_paper.html>`_
    (Jin et al., CVPR 2023). Their code adds a second, strongly augmented view
    of each image, which doubles the cost of a step, and multiplies the terms of
    the first view by the share of images, or of classes, that the teacher is
    least sure of, about one half. Here there is one view and no such factor;
    set the weights accordingly. Their weights are 0.9 (9 with ``standardize``)
    and 0.1 for the label, with 100 or more classes and batches of 64. The
    second term grows with B and the third with (B / C)^2, so with 10 classes
    they dominate the others unless their weights are much smaller.

    Args:
        instance_weight (float): :math:`w_{ins}`. Defaults to 1.0.
        batch_weight (float): :math:`w_{batch}`. Defaults to 1.0.
        class_weight (float): :math:`w_{class}`. Defaults to 1.0.
        temperatures (Sequence[float]): The temperatures; all terms are summed
            over them. Defaults to (2.0, 3.0, 4.0, 5.0, 6.0).
        standardize (bool): Whether logits are standardized first (LSKD), for
            the first term alone, as its authors do; see
            :func:`~mmdckd.models.losses.standardize.standardize`. Defaults
            to False.
        ramp (dict, optional): Arguments of :class:`WeightRamp`, a factor on
            all terms. Defaults to None: constant weights.

    Raises:
        ValueError: If a weight is negative, or there is no temperature or one
            that is not positive.

    Examples:
        >>> loss = MLKDLoss()
        >>> loss(torch.randn(1, 8, 10), torch.randn(8, 10))
        {'instance': tensor([...]), 'batch': tensor([...]), 'class': ...}
    """  # noqa: E501

    def __init__(
        self,
        instance_weight: float = 1.0,
        batch_weight: float = 1.0,
        class_weight: float = 1.0,
        temperatures: Sequence[float] = (2.0, 3.0, 4.0, 5.0, 6.0),
        standardize: bool = False,
        ramp: Optional[dict] = None,
    ) -> None:
        weights = dict(
            instance_weight=instance_weight,
            batch_weight=batch_weight,
            class_weight=class_weight,
        )
        super().__init__(weights, standardize=standardize, ramp=ramp)
        if not isinstance(temperatures, (list, tuple)) or not temperatures:
            expected = 'one or more temperatures, such as (2., 4.)'
            raise invalid('temperatures', expected, temperatures)
        for tau in temperatures:
            check_temperature(tau, 'temperatures')
        self.instance_weight = instance_weight
        self.batch_weight = batch_weight
        self.class_weight = class_weight
        self.temperatures = tuple(temperatures)

    @property
    def weights(self) -> Dict[str, float]:
        """Dict[str, float]: Term to its weight."""
        return {
            'instance': self.instance_weight,
            'batch': self.batch_weight,
            'class': self.class_weight,
        }

    def compute(
        self,
        students: torch.Tensor,
        teacher: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute the three terms of every student; see
        :meth:`TeacherLoss.compute`."""
        plain = students, teacher
        if self.standardize:
            students, teacher = map(standardized, plain)
        instance = sum(
            tau**2 * divergence(soften(teacher, tau).exp(), soften(students, tau))
            for tau in self.temperatures
        )
        probs = [[(z / tau).softmax(-1) for z in plain] for tau in self.temperatures]
        batch_size, num_classes = teacher.shape[-2:]
        return {
            'instance': instance,
            'batch': sum(_distance(p @ p.mT, t @ t.mT) for p, t in probs) / batch_size,
            'class': sum(_distance(p.mT @ p, t.mT @ t) for p, t in probs) / num_classes,
        }

    def extra_repr(self) -> str:
        return f'{super().extra_repr()}, temperatures={self.temperatures}'


def _distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Squared Frobenius norm of a difference."""
    return (a - b).square().sum((-2, -1))
