# Copyright (c) mmdckd contributors. All rights reserved.
"""What is added up, batch by batch, of the predictions of a cohort."""

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
    r"""How far two members are apart in what they hold to be alike.

    .. math::
        d(R, T) = \frac{1}{C} \sum_a \frac{1}{2} \sum_c |R_{ac} - T_{ac}|

    the total variation distance between rows of class correlations (see
    :class:`~.prediction_sums.SoftSums`), its mean over the classes that have
    images: 0 for equal ones, at most 1.

    Args:
        one (Tensor): R, (C, C); NaN in the rows of classes without images.
        other (Tensor): T, (C, C), of the same images.
        non_target (bool): Whether to leave the diagonal out, rows made to sum
            to 1 without it: how sure of the label both are then does not
            matter. Defaults to False.

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
    r"""Statistics of all members of a cohort, on the same images.

    Of every member those of :class:`~.prediction_sums.PredictionSums`; of two
    members m and n the agreement, the share of images with the same top-1,

    .. math:: A_{mn} = \frac{1}{V} \sum_v [t_{mv} = t_{nv}]

    and of every other member and the (first) teacher, the agreement on the
    images that the teacher gets right and on those that it gets wrong: the
    latter is how many of its mistakes are taken over.

    Args:
        students (Sequence[str]): The names of the students.
        teachers (Sequence[str]): The names of the teachers. Defaults to ().
        tau (float): The temperature of what is softened. Defaults to 4.0.
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
                always the same members in the same order. Nothing is compared
                with a teacher that is not among them.
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
        # Where the teacher is right, and where it is wrong.
        parts = torch.stack([right, ~right])
        same = (top[:, None] == top) & parts[:, None, None]
        self.same = self.same + same.sum(-1).double()
        self.counts = self.counts + parts.sum(-1).double()

    def add_target(
        self, name: str, targets: torch.Tensor, labels: torch.Tensor
    ) -> None:
        """Add collected targets.

        Args:
            name (str): What to call them.
            targets (Tensor): Those of each student, softened, (N, B, C).
            labels (Tensor): Class indices (B,).
        """
        targets = targets.double()
        if name not in self.targets:
            self.targets[name] = SoftSums(targets.shape[-1], targets.device)
        self.targets[name].add_soft(
            soften(targets, 1.0).flatten(0, 1), labels.repeat(len(targets))
        )

    def reduce(self) -> None:
        """Add up over all processes."""
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
        """What can be followed over epochs.

        Returns:
            Dict[str, float]: ``<member>/<statistic>``. The statistics are
            those of :class:`~.prediction_sums.PredictionSums`; where there is
            a teacher, ``correlation_distance`` and
            ``correlation_distance_non_target`` to it, ``agreement_right`` and
            ``agreement_wrong``; the latter two are left out where there is no
            such image, the former two where no matrices are kept.
            ``cohort/agreement`` is the mean of A over pairs of students.
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
        """How far all others are from the teacher, where matrices are kept."""
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
        """How often members agree with the teacher, where it is right and
        where it is wrong."""
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
        """What is looked at as a whole.

        Returns:
            Dict[str, ndarray]: ``members``, the M names, targets last;
            ``students``; ``tau``; ``correlation`` (M, C, C); and of the
            members but the targets ``confusion`` (M, C, C), ``bins``
            (M, 15, 3) and ``agreement`` (M, M). Without ``correlation`` and
            ``confusion`` of more than :data:`~.prediction_sums.MOST_CLASSES`
            classes.
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
        """int: C, once a batch was added."""
        return len(next(iter(self.members.values())).classes)

    @property
    def has_matrices(self) -> bool:
        """bool: Whether class correlations and confusions are kept."""
        return self.num_classes <= MOST_CLASSES
