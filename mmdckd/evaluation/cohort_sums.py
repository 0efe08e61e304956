# Copyright (c) mmdckd contributors. All rights reserved.
"""Accumulate statistics of a cohort's predictions over batches."""

from itertools import chain
from typing import Dict, Optional, Sequence

import numpy as np
import torch
from mmengine.dist import all_reduce

from mmdckd.names import COHORT, metric_name

from .prediction_sums import MOST_CLASSES, PredictionSums, SoftSums, soften


def correlation_distance(
    one: torch.Tensor, other: torch.Tensor, non_target: bool = False
) -> float:
    r"""Compute the distance between the class correlations of two members.

    .. math::
        d(R, T) = \frac{1}{C} \sum_a \frac{1}{2} \sum_c |R_{ac} - T_{ac}|

    This is the total variation distance between rows of class correlations (see
    :class:`~.prediction_sums.SoftSums`), averaged over the classes that have
    images: 0 if they are equal, at most 1.

    Args:
        one (Tensor): R, (C, C); NaN in the rows of classes without images.
        other (Tensor): T, (C, C), for the same images.
        non_target (bool): Whether to remove the diagonal and renormalize the
            rows, so that the confidence in the label does not matter. Defaults
            to False.

    Returns:
        float: d.
    """
    if non_target:
        one, other = map(_without_diagonal, (one, other))
    return float((one - other).abs().sum(1).nanmean() / 2)


def _without_diagonal(correlation: torch.Tensor) -> torch.Tensor:
    rest = correlation - torch.diag(correlation.diagonal())
    return rest / rest.sum(1, keepdim=True)


class CohortSums:
    r"""Accumulates statistics of all members of a cohort on the same images.

    For every member, these are the statistics of
    :class:`~.prediction_sums.PredictionSums`. For two members m and n, it is
    their agreement, the share of images with the same top-1 prediction,

    .. math:: A_{mn} = \frac{1}{V} \sum_v [t_{mv} = t_{nv}]

    For every member and the (first) teacher, it is also the agreement on the
    images that the teacher classifies correctly, and on the others; the latter
    is the share of the teacher's mistakes that the member copies.

    Args:
        students (Sequence[str]): The names of the students.
        teachers (Sequence[str]): The names of the teachers. Defaults to ().
        tau (float): The temperature of softened predictions. Defaults to 4.0.
    """

    def __init__(
        self, students: Sequence[str], teachers: Sequence[str] = (), tau: float = 4.0
    ) -> None:
        self.students = list(students)
        self.teacher: Optional[str] = next(iter(teachers), None)
        self.tau = tau
        self.members: Dict[str, PredictionSums] = {}
        self.targets: Dict[str, SoftSums] = {}
        self.same = torch.tensor(0.0)
        self.counts = torch.tensor(0.0)

    def add(self, scores: Dict[str, torch.Tensor], labels: torch.Tensor) -> None:
        """Add a batch.

        Args:
            scores (Dict[str, Tensor]): Every member's probabilities (B, C),
                always the same members in the same order. A teacher that is
                missing is not compared with.
            labels (Tensor): Class indices (B,).
        """
        scores = {name: each.double() for name, each in scores.items()}
        if self.teacher not in scores:
            self.teacher = None
        for name, each in scores.items():
            if name not in self.members:
                self.members[name] = PredictionSums(
                    each.shape[1], self.tau, each.device
                )
            self.members[name].add(each, labels)
        top = torch.stack([each.argmax(1) for each in scores.values()])
        right = top.new_ones(top.shape[1], dtype=torch.bool)
        if self.teacher is not None:
            right = top[list(scores).index(self.teacher)] == labels
        # Images on which the teacher is right, and on which it is wrong.
        parts = torch.stack([right, ~right])
        same = (top[:, None] == top) & parts[:, None, None]
        self.same = self.same + same.sum(-1).double()
        self.counts = self.counts + parts.sum(-1).double()

    def add_target(
        self, name: str, targets: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """Add the targets of a collector.

        Args:
            name (str): Their name.
            targets (Tensor): The softened target of each student, (N, B, C).
            labels (Tensor): Class indices (B,).
        """
        targets = targets.double()
        if name not in self.targets:
            self.targets[name] = SoftSums(targets.shape[-1], targets.device)
        self.targets[name].add_soft(
            soften(targets, 1.0).flatten(0, 1), labels.repeat(len(targets))
        )

    def reduce(self) -> None:
        """Sum over all processes."""
        for sums in chain(self.members.values(), self.targets.values()):
            for tensor in sums.tensors():
                all_reduce(tensor)
        all_reduce(self.same)
        all_reduce(self.counts)

    @property
    def agreement(self) -> torch.Tensor:
        """Tensor: A, (M, M), in the order of ``members``."""
        return self.same.sum(0) / self.counts.sum()

    def scalars(self) -> Dict[str, float]:
        """Compute the statistics that are single numbers.

        Returns:
            Dict[str, float]: ``<member>/<statistic>``. The statistics are
            those of :class:`~.prediction_sums.PredictionSums` and, if there is
            a teacher, ``correlation_distance`` and
            ``correlation_distance_non_target`` to it (if matrices are kept),
            ``agreement_right`` and ``agreement_wrong`` (if there are such
            images). ``cohort/agreement`` is the mean of A over pairs of
            students.
        """
        scalars = {
            metric_name(name, key): value
            for name, sums in {**self.members, **self.targets}.items()
            for key, value in sums.statistics().items()
        }
        if self.teacher is not None:
            scalars.update(self._distances(self.teacher))
            scalars.update(self._agreements(self.teacher))
        own = [list(self.members).index(name) for name in self.students]
        if len(own) > 1:
            pairs = self.agreement[own][:, own]
            others = len(own) * (len(own) - 1)
            scalars[metric_name(COHORT, 'agreement')] = float(
                (pairs.sum() - len(own)) / others
            )
        return scalars

    def _distances(self, teacher: str) -> Dict[str, float]:
        """Compute the correlation distances to the teacher, if matrices are kept."""
        reference = self.members[teacher].correlation
        if reference is None:
            return {}
        return {
            metric_name(name, key): correlation_distance(
                sums.correlation, reference, non_target
            )
            for name, sums in {**self.members, **self.targets}.items()
            for key, non_target in (
                ('correlation_distance', False),
                ('correlation_distance_non_target', True),
            )
            if sums.correlation is not None and name != teacher
        }

    def _agreements(self, teacher: str) -> Dict[str, float]:
        """Compute how often members agree with the teacher on images that it
        classifies correctly, and on the others."""
        names = list(self.members)
        with_teacher = self.same[:, names.index(teacher)]
        return {
            metric_name(name, key): same / float(count)
            for key, row, count in zip(
                ('agreement_right', 'agreement_wrong'), with_teacher, self.counts
            )
            for name, same in zip(names, row.tolist())
            if name != teacher and count
        }

    def arrays(self) -> Dict[str, np.ndarray]:
        """Return the statistics that are arrays.

        Returns:
            Dict[str, ndarray]: ``members``, the M names, targets last;
            ``students``; ``tau``; ``correlation`` (M, C, C); and, for members
            other than targets, ``confusion`` (M, C, C), ``bins`` (M, 15, 3) and
            ``agreement`` (M, M). With more than
            :data:`~.prediction_sums.MOST_CLASSES` classes, ``correlation`` and
            ``confusion`` are missing.
        """
        everyone = {**self.members, **self.targets}
        members = list(self.members.values())

        def stack(tensors, dtype):
            return torch.stack(list(tensors)).cpu().numpy().astype(dtype)

        arrays = dict(
            members=np.array(list(everyone)),
            students=np.array(self.students),
            tau=np.array(self.tau),
            bins=stack((m.bins for m in members), np.float64),
            agreement=self.agreement.cpu().numpy(),
        )
        if self.has_matrices:
            arrays.update(
                correlation=stack(
                    (m.correlation for m in everyone.values()), np.float32
                ),
                confusion=stack((m.confusion for m in members), np.int32),
            )
        return arrays

    @property
    def num_classes(self) -> int:
        """int: C, known after the first batch."""
        return len(next(iter(self.members.values())).classes)

    @property
    def has_matrices(self) -> bool:
        """bool: Whether class correlations and confusions are kept."""
        return self.num_classes <= MOST_CLASSES
