# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, List, Optional, Sequence, Union

import torch

from mmdckd.errors import invalid
from mmdckd.registry import MODELS

from ..options import under
from ..tasks import Classification
from .base_collector import BaseCollector
from .builder import build_collector


@MODELS.register_module()
class HeldOutCollector(BaseCollector):
    r"""Combines the predictions of the peers that do not train on the image.

    .. math::
        C(x) = \mathrm{collect}(\{\log P_j(x) : x \in F_j\})

    where :math:`F_j` is the fold of the training images to which student j is
    blind (``model.folds``). A network cannot have memorized the label of an
    image that it did not train on, not even a wrong label. Peers predict in
    ``eval`` mode, on the view of the image in the batch; BatchNorm layers of students
    in training use the statistics of these images. All students that
    train on an image have the same target for it. With
    ``model.finished_peers``, the peers are those of the finished cohort, and
    the students that learn from them see every image. For an image of which no
    copy has a label, all peers are combined, as the inner collector does without
    folds.

    The idea is cross-fitting, which `Knowledge Distillation as Semiparametric
    Inference <https://arxiv.org/abs/2104.09732>`_ (Dao et al., ICLR 2021)
    applies to teachers; here it is applied to the peers of a cohort.

    Args:
        collector (str | dict | BaseCollector): How the predictions of several
            blind peers are combined. Defaults to ``'logit_mean'``.
        include_teacher (bool): Whether every teacher is included. Defaults to
            False.

    Raises:
        ValueError: If the inner collector includes the student itself, which
            has seen the image, is also a held-out collector, or has weights by
            member, as each image has other members.
    """

    held_out = True
    #: The folds of the students, set by :meth:`use_folds`.
    folds: Sequence[Optional[int]] = ()

    def __init__(
        self,
        collector: Union[str, dict, BaseCollector] = 'logit_mean',
        include_teacher: bool = False,
    ) -> None:
        super().__init__(include_teacher=include_teacher)
        self.collector = build_collector(collector)
        if self.collector.include_self or self.collector.held_out:
            expected = 'a collector of another type, without `include_self`'
            raise invalid('collector', expected, self.collector)
        if self.collector.by_member:
            expected = (
                'a collector that treats all peers alike, as each image has others'
            )
            raise invalid('collector', expected, self.collector)
        self.collector.include_teacher |= include_teacher
        self.include_teacher = self.collector.include_teacher
        self.compares_students = self.collector.compares_students
        self.needs_labels = self.collector.needs_labels
        self.tasks = self.collector.tasks

    def use_task(self, task: Classification) -> None:
        """Set the task of the cohort; see :meth:`BaseCollector.use_task`."""
        super().use_task(task)
        self.collector.use_task(task)

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Set the fold to which each student is blind; see
        :meth:`BaseCollector.use_folds`."""
        self.folds = list(folds)

    def sources(
        self, index: int, peers: List[str], teachers: List[str], finished: bool = False
    ) -> List[str]:
        """List the members whose predictions a student learns from; see
        :meth:`BaseCollector.sources`."""
        if finished and not self.folds:
            return list(peers) + (list(teachers) if self.include_teacher else [])
        asked = [
            name
            for name, fold in zip(peers, self.folds)
            if fold is not None and fold != self.folds[index]
        ]
        return asked + (list(teachers) if self.include_teacher else [])

    def check_cohort(
        self, num_students: int, num_teachers: int, num_finished: int = 0
    ) -> None:
        """Check that finished peers are not compared; see
        :meth:`BaseCollector.check_cohort`."""
        # With folds of the students, each image that has other peers has a label.
        if num_finished and self.compares_students and not self.folds:
            raise ValueError(
                'Invalid `collector` of HeldOutCollector: expected one that does not '
                'depend on the students in training, as `finished_peers` are set, '
                f'got {type(self.collector).__name__}.'
            )
        super().check_cohort(num_students, num_teachers, num_finished)

    def check_members(self, num_members: int) -> None:
        """Check that the inner collector fits the number of members; see
        :meth:`BaseCollector.check_members`."""
        with under('collector'):
            self.collector.check_members(num_members)

    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        return self.collector.collect(log_probs, gt_labels, tau, members)

    def _collect_sets(self, *args: Any) -> torch.Tensor:
        return self.collector._collect_sets(*args)

    def extra_repr(self) -> str:
        return f'include_teacher={self.include_teacher}'
