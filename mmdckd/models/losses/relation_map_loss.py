# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional, Sequence, Union

import torch
import torch.nn.functional as F

from mmdckd.registry import MODELS

from ..options import check_weight
from ..precision import at_least_float32
from .base_collective_loss import BaseCollectiveLoss

Views = Union[torch.Tensor, Sequence[torch.Tensor]]


@MODELS.register_module()
class RelationMapLoss(BaseCollectiveLoss):
    r"""How the images of a batch resemble each other, learned from the teacher
    and from the peers.

    .. math::
        L_i = \frac{\alpha}{B^2} \|G_i - G_t\|_F^2
              + \frac{\beta}{B^2} \Big\|G_i
              - \frac{1}{N - 1} \sum_{j \ne i} G_j\Big\|_F^2

    with a relation map :math:`G = \mathrm{norm}(F F^T)` (B, B) of each
    network: F are its features (B, D), flattened, and norm divides each row by
    its Euclidean length. A map has no channels and no pixels, so networks of
    any width and resolution compare without a connector. It is of the images
    of one process.

    The term of the teacher is that of `Similarity-Preserving Knowledge
    Distillation <https://arxiv.org/abs/1907.09682>`_ (Tung and Mori, ICCV
    2019), for one layer. The term of the peers is this project's: the same of
    the mean of their maps.

    The features are what the recorder ``features`` has recorded; see
    :attr:`BaseCollectiveLoss.inputs`. Lagged peers stand for the peers where
    there are any; with several teachers, their terms' mean is taken.

    Args:
        alpha (float): Weight of the teacher's map. Defaults to 3000.0, that
            of the CRD benchmark on CIFAR-100.
        beta (float): Weight of the peers' mean map. Defaults to 3000.0.
        recorder (str): The name of the recorder in
            ``distiller.student_recorders`` and, with ``alpha`` more than 0,
            in ``distiller.teacher_recorders``. Defaults to ``'features'``.

    Raises:
        ValueError: If a weight is negative.

    Examples:
        >>> loss = RelationMapLoss(alpha=0.)
        >>> loss([torch.randn(8, 16, 4, 4), torch.randn(8, 32, 2, 2)])
        {'collective': tensor([...])}
    """

    #: Features have no task.
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
        """Check, before training, that there is what has a weight.

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

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """Tell whose knowledge is in the terms of one student's loss; see
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
                (B, ...), or N such tensors, of each student's view. Defaults
                to None.
            gt_labels (Tensor, optional): Not looked at. Defaults to None.
            preds_P (Sequence[Tensor], optional): Features of N other peers.
                Defaults to None, ``preds_S``.

        Returns:
            Dict[str, Tensor]: ``teacher`` (N,) and ``collective`` (N,),
            weights included, of what has a weight.
        """
        self.check_cohort(len(preds_S), len(preds_T or ()))
        maps = _maps(preds_S)
        losses = {}
        if self.alpha and preds_T is not None:
            each = [
                _maps([view] if isinstance(view, torch.Tensor) else view).detach()
                for view in preds_T
            ]
            distances = [_distance(maps, teacher) for teacher in each]
            losses['teacher'] = self.alpha * torch.stack(distances).mean(0)
        if self.beta:
            peers = (maps if preds_P is None else _maps(preds_P)).detach()
            mean = (peers.sum(0) - peers) / (len(peers) - 1)
            losses['collective'] = self.beta * _distance(maps, mean)
        return losses

    def extra_repr(self) -> str:
        return f'alpha={self.alpha}, beta={self.beta}, recorder={self.inputs[0]!r}'


def _maps(features: Sequence[torch.Tensor]) -> torch.Tensor:
    """The relation maps of K networks, (K, B, B)."""
    maps = []
    # Squares of features leave the range of float16.
    with torch.autocast(features[0].device.type, enabled=False):
        for feature in features:
            flat = at_least_float32(feature.flatten(1))
            maps.append(F.normalize(flat @ flat.mT, dim=1))
    return torch.stack(maps)


def _distance(maps: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean squared distance of maps (K, B, B) to one or K targets, (K,)."""
    return (maps - targets).square().mean((1, 2))
