# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional, Union

import torch

from mmdckd.registry import MODELS

from ..options import under
from ..tasks import Classification
from .base_collector import BaseCollector
from .builder import build_collector


@MODELS.register_module()
class AgreementCollector(BaseCollector):
    r"""Gives unlabeled images on which the students disagree a smaller weight.

    .. math::
        C'_i = w C_i + (1 - w) P_i, \qquad
        w = \frac{\sum_c n_c (n_c - 1)}{N (N - 1)}

    with the target :math:`C_i` of ``collector``, the student's own softened
    prediction :math:`P_i`, and the number :math:`n_c` of the N students whose
    top-1 prediction is class c. The weight w of an image without a label is the
    share of pairs of students that agree, in [0, 1]. An image with a label has
    weight 1, so :math:`C'_i = C_i`.

    The target is detached, so the gradient of the divergence is w times that of
    the target :math:`C_i`:

    .. math::
        \frac{\partial KL(C'_i \| P_i)}{\partial z_i}
        = \frac{1}{\tau} (P_i - C'_i) = \frac{w}{\tau} (P_i - C_i)

    With ``model.lagged_peers``, the copies' predictions replace the students' in
    :math:`C'_i`, so a student also learns from its own copy, with weight 1 - w.

    In training, :class:`~mmdckd.datasets.Unlabeled` marks the images without
    labels. If no labels are given, every image is weighted.

    Agreement is used as in co-training, where each view labels the images that
    it is sure of for the other view; the formula is this project's own.

    Args:
        collector (str, dict or BaseCollector): The collector of the targets
            :math:`C_i`; see :class:`~mmdckd.models.losses.DCKDLoss`. Defaults
            to 'logit_mean'.

    Raises:
        ValueError: If that collector needs labels, which these images lack, is
            a held-out collector, whose peers differ by image, or is itself an
            agreement collector.

    Examples:
        >>> DCKDLoss(collector=dict(type='agreement', collector='mean'))
    """

    # For several labels an image, agreement is defined differently.
    tasks = ('classification',)
    compares_students = True

    def __init__(
        self, collector: Union[str, dict, BaseCollector] = 'logit_mean'
    ) -> None:
        with under('collector'):
            inner = build_collector(collector)
        super().__init__(inner.include_self, inner.include_teacher)
        if inner.needs_labels:
            raise ValueError(
                'Invalid `collector` of AgreementCollector: expected one that needs '
                f'no labels, got {type(inner).__name__}.'
            )
        if inner.held_out or inner.compares_students:
            raise ValueError(
                'Invalid `collector` of AgreementCollector: expected one whose peers '
                "are the same for every image, such as 'logit_mean', got "
                f'{type(inner).__name__}.'
            )
        self.by_member = inner.by_member
        self.collector = inner

    def use_task(self, task: Classification) -> None:
        super().use_task(task)
        self.collector.use_task(task)

    def check_members(self, num_members: int) -> None:
        self.collector.check_members(num_members)

    def check_cohort(
        self, num_students: int, num_teachers: int, num_finished: int = 0
    ) -> None:
        """Check that there are at least two students to compare; see
        :meth:`BaseCollector.check_cohort`."""
        super().check_cohort(num_students, num_teachers, num_finished)
        if num_finished:
            raise ValueError(
                'Invalid `collector`: expected one that does not depend on the '
                'students in training, as `finished_peers` are set, got '
                'AgreementCollector.'
            )
        if num_students < 2:
            raise ValueError(
                'Invalid `num_students`: expected 2 or more for AgreementCollector, '
                f'got {num_students}.'
            )

    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        return self.collector.collect(log_probs, gt_labels, tau, members)

    def _collect_sets(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
        tau: float,
    ) -> torch.Tensor:
        targets = self.collector._collect_sets(students, teachers, None, tau)
        weights = self.task.agreement_by_image(students).to(targets)
        if gt_labels is not None:
            labels = gt_labels if gt_labels.ndim == 1 else gt_labels.sum(-1) - 0.5
            weights = weights.masked_fill(labels >= 0, 1.0)
        weights = weights[:, None]
        return weights * targets + (1 - weights) * students.exp()

    def extra_repr(self) -> str:
        return ''
