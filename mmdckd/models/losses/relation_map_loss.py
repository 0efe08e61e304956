# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional, Sequence, Union

import torch
import torch.nn.functional as F

from mmdckd.registry import MODELS

from ..options import check_weight
from ..precision import at_least_float32
from .base_collective_loss import LOGITS, BaseCollectiveLoss

Views = Union[torch.Tensor, Sequence[torch.Tensor]]


@MODELS.register_module()
class RelationMapLoss(BaseCollectiveLoss):
    r"""Distills the similarities between the images of a batch from the teacher
    and the peers.

    .. math::
        L_i = \frac{\alpha}{B^2} \|G_i - G_t\|_F^2
              + \frac{\beta}{B^2} \Bigl\|G_i
              - \frac{1}{N - 1} \sum_{j \ne i} G_j\Bigr\|_F^2

    with a relation map :math:`G = \mathrm{norm}(F F^T)` (B, B) for each
    network: F are its flattened features (B, D), and norm divides each row by
    its Euclidean norm. A map has neither channels nor pixels, so networks of
    any width and resolution can be compared without a connector. With several
    processes, each has the maps of its own images.

    The teacher's term is that of `Similarity-Preserving Knowledge Distillation
    <https://arxiv.org/abs/1907.09682>`_ (Tung and Mori, ICCV 2019), for one
    layer. The peers' term is this project's own: it compares with the mean of
    the peers' maps.

    The features are those of the recorder ``features``; see
    :attr:`BaseCollectiveLoss.inputs`. Lagged peers, if there are any, replace
    the peers. With several teachers, the mean of their terms is used.

    Args:
        alpha (float): Weight of the teacher's map. Defaults to 3000.0, as in
            the CRD benchmark on CIFAR-100.
        beta (float): Weight of the peers' mean map. Defaults to 3000.0.
        recorder (str): The name of the recorder in
            ``distiller.student_recorders`` and, if ``alpha`` is above 0, in
            ``distiller.teacher_recorders``; or ``'logits'``. Defaults to
            ``'features'``.

    Raises:
        ValueError: If a weight is negative.

    Examples:
        >>> loss = RelationMapLoss(alpha=0.)
        >>> loss([torch.randn(8, 16, 4, 4), torch.randn(8, 32, 2, 2)])
        {'collective': tensor([...])}
    """

    #: Features do not depend on the task.
    tasks = ('classification', 'multi_label')

    def __init__(
        self, alpha: float = 3000.0, beta: float = 3000.0, recorder: str = 'features'
    ) -> None:
        super().__init__()
        check_weight('alpha', alpha)
        check_weight('beta', beta)
        self.alpha = alpha
        self.beta = beta
        self.inputs = (recorder,)

    @property
    def needs_teacher(self) -> bool:
        """bool: Whether the teacher's map has a weight."""
        return self.alpha > 0

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check, before training, that each term with a weight has its source.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.

        Raises:
            ValueError: If there is no teacher, or no peer.
        """
        if self.alpha and not num_teachers:
            raise ValueError(
                f'Invalid `alpha`: expected 0 without a teacher, got {self.alpha}.'
            )
        if self.beta and num_students < 2:
            raise ValueError(
                f'Invalid `beta`: expected 0 with one student, got {self.beta}.'
            )

    def use_finished_peers(self, number: int) -> bool:
        """Return False if no peer's map has a weight; see
        :meth:`BaseCollectiveLoss.use_finished_peers`."""
        return bool(self.beta) and super().use_finished_peers(number)

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """List the members that each term learns from; see
        :meth:`BaseCollectiveLoss.sources`."""
        others = [name for i, name in enumerate(peers) if i != index]
        return {
            **(dict(teacher=teachers) if self.alpha else {}),
            **(dict(collective=others) if self.beta else {}),
        }

    def forward(
        self,
        preds_S: Sequence[torch.Tensor],
        preds_T: Optional[Sequence[Views]] = None,
        gt_labels: Optional[torch.Tensor] = None,
        preds_P: Optional[Sequence[torch.Tensor]] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss of every student.

        Args:
            preds_S (Sequence[Tensor]): Features of N students, each (B, ...).
            preds_T (Sequence[Tensor], optional): Features of M teachers, each
                (B, ...), or N such tensors, one for each student's view.
                Defaults to None.
            gt_labels (Tensor, optional): Not used. Defaults to None.
            preds_P (Sequence[Tensor], optional): Features of N lagged peers.
                Defaults to None: the students are the peers.

        Returns:
            Dict[str, Tensor]: ``teacher`` (N,) and ``collective`` (N,), weights
            included, if their weights are not 0.
        """
        self.check_cohort(len(preds_S), 0 if preds_T is None else len(preds_T))
        maps = _maps(preds_S)
        losses = {}
        if self.alpha and preds_T is not None:
            each = [_maps(self._views(teacher)).detach() for teacher in preds_T]
            distances = [_distance(maps, teacher) for teacher in each]
            losses['teacher'] = self.alpha * torch.stack(distances).mean(0)
        if self.beta:
            peers = (maps if preds_P is None else _maps(preds_P)).detach()
            mean = (peers.sum(0) - peers) / (len(peers) - 1)
            losses['collective'] = self.beta * _distance(maps, mean)
        return losses

    def _views(self, teacher: Views) -> Sequence[torch.Tensor]:
        """Return a teacher's values for each view; logits of several are stacked."""
        if not isinstance(teacher, torch.Tensor):
            return teacher
        if self.inputs == (LOGITS,) and teacher.ndim == 3:
            return list(teacher)
        return [teacher]

    def extra_repr(self) -> str:
        return f'alpha={self.alpha}, beta={self.beta}, recorder={self.inputs[0]!r}'


def _maps(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """Compute the relation maps of K networks, (K, B, B)."""
    maps = []
    # Squared features can overflow float16.
    with torch.autocast(features[0].device.type, enabled=False):
        for feature in features:
            flat = at_least_float32(feature.flatten(1))
            maps.append(F.normalize(flat @ flat.mT, dim=1))
    return torch.stack(maps)


def _distance(maps: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compute the mean squared distance of maps (K, B, B) to one or K targets,
    (K,)."""
    return (maps - targets).square().mean((1, 2))
