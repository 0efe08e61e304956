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
    r"""The knowledge of those peers that are blind to the image.

    .. math::
        C(x) = \mathrm{collect}(\{\log P_j(x) : x \in F_j\})

    where :math:`F_j` is the fold of the training images that student j does
    not see (``model.folds``). What a network says of an image that it never
    trained on cannot be memorized, a wrong label included. The peers are asked
    in ``eval`` mode, with the view of the image that the batch has. Every
    student that sees an image has the same target for it. With
    ``model.finished_peers``, the peers are those of the finished cohort, and the
    students that learn from them see every image. No peer has seen the
    label of an image without one: all of them are asked, as the inner
    collector does without folds.

    The idea is that of cross-fitting, which `Knowledge Distillation as
    Semiparametric Inference <https://arxiv.org/abs/2104.09732>`_ (Dao et al.,
    ICLR 2021) uses for teachers; here the peers of a cohort are asked.

    Args:
        collector (str | dict | BaseCollector): How the predictions of several
            blind peers are combined. Defaults to ``'logit_mean'``.
        include_teacher (bool): Whether every teacher is asked too. Defaults
            to False.

    Raises:
        ValueError: If the inner collector includes the student itself, which
            has seen the image, or is a held-out collector too.
    """

    held_out = True
    #: The folds of the students, once they are known.
    folds: Sequence[Optional[int]] = ()

    def __init__(
        self,
        collector: Union[str, dict, BaseCollector] = 'logit_mean',
        include_teacher: bool = False,
    ) -> None:
        super().__init__(include_teacher=include_teacher)
        self.collector = build_collector(collector)
        if self.collector.include_self or self.collector.held_out:
            expected = 'one without `include_self`, and of another type'
            raise invalid('collector', expected, self.collector)
        self.collector.include_teacher |= include_teacher
        self.include_teacher = self.collector.include_teacher
        self.needs_labels = self.collector.needs_labels
        self.tasks = self.collector.tasks

    def use_task(self, task: Classification) -> None:
        """Collect for a task; see :meth:`BaseCollector.use_task`."""
        super().use_task(task)
        self.collector.use_task(task)

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Learn to which fold each student is blind; see
        :meth:`BaseCollector.use_folds`."""
        self.folds = list(folds)

    def sources(
        self, index: int, peers: List[str], teachers: List[str], finished: bool = False
    ) -> List[str]:
        """Tell who is asked about images that a student sees; see
        :meth:`BaseCollector.sources`."""
        if finished and not self.folds:
            return list(peers) + (list(teachers) if self.include_teacher else [])
        asked = [
            name
            for name, fold in zip(peers, self.folds)
            if fold is not None and fold != self.folds[index]
        ]
        return asked + (list(teachers) if self.include_teacher else [])

    def check_members(self, num_members: int) -> None:
        """Check that a set of this size can be collected from; see
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
