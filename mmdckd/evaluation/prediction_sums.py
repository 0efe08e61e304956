# Copyright (c) mmdckd contributors. All rights reserved.
"""Accumulate statistics of one member's predictions over batches."""

from typing import Any, Dict, Iterator, Optional

import torch

NUM_BINS = 15

#: With more classes, no class-by-class matrices are kept: in float64, 2,000
#: classes need 32 MB and 100,000 need 80 GB, twice for each member.
MOST_CLASSES = 2000


def soften(scores: torch.Tensor, tau: float) -> torch.Tensor:
    r"""Soften probabilities by a temperature.

    .. math:: \log q = \log\mathrm{softmax}(\log p / \tau)

    If p is the softmax of logits, this is the log-softmax of the logits divided
    by :math:`\tau`.

    Args:
        scores (Tensor): Probabilities (..., C), clamped to the smallest normal
            number.
        tau (float): The temperature.

    Returns:
        Tensor: Finite log-probabilities (..., C).
    """
    tiny = torch.finfo(scores.dtype).tiny
    return (scores.clamp_min(tiny).log() / tau).log_softmax(-1)


class SoftSums:
    r"""Accumulates the entropy and class correlation of softened predictions.

    .. math::
        H = -\frac{1}{V} \sum_v \sum_c q_{vc} \log q_{vc}, \qquad
        R_{ac} = \frac{1}{|V_a|} \sum_{v \in V_a} q_{vc}

    with V images, the images :math:`V_a` of class a, and the softened
    prediction :math:`q_v` of image v. Row a of R is the mean prediction for
    images of class a; it shows which classes the member considers similar to a.

    Args:
        num_classes (int): C.
        device (torch.device): The device of the sums, which are float64.

    Attributes:
        soft_scores (Tensor, optional): The sums of R, (C, C); None with more
            than :data:`MOST_CLASSES` classes.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        options: Dict[str, Any] = dict(dtype=torch.float64, device=device)
        self.classes = torch.zeros(num_classes, **options)
        self.soft_entropies = torch.zeros((), **options)
        self.soft_scores: Optional[torch.Tensor] = None
        if num_classes <= MOST_CLASSES:
            self.soft_scores = torch.zeros(num_classes, num_classes, **options)

    def add_soft(self, log_probs: torch.Tensor, labels: torch.Tensor) -> None:
        """Add softened predictions.

        Args:
            log_probs (Tensor): Finite log-probabilities (B, C), float64.
            labels (Tensor): Class indices (B,).
        """
        probs = log_probs.exp()
        self.classes += torch.bincount(labels, minlength=len(self.classes))
        self.soft_entropies -= (probs * log_probs).sum()
        if self.soft_scores is not None:
            self.soft_scores.index_add_(0, labels, probs)

    def tensors(self) -> Iterator[torch.Tensor]:
        """Yield all sums in a fixed order."""
        return filter(torch.is_tensor, vars(self).values())

    @property
    def correlation(self) -> Optional[torch.Tensor]:
        """Tensor, optional: R, (C, C); NaN in the rows of classes without
        images. None with more than :data:`MOST_CLASSES` classes."""
        if self.soft_scores is None:
            return None
        return self.soft_scores / self.classes[:, None]

    def statistics(self) -> Dict[str, float]:
        """Compute the statistics that are single numbers.

        Returns:
            Dict[str, float]: ``soft_entropy``, H in nats.
        """
        return dict(soft_entropy=float(self.soft_entropies / self.classes.sum()))


class PredictionSums(SoftSums):
    r"""Accumulates all statistics of one member's predictions.

    For the prediction p of an image with label y, one-hot :math:`e_y`, these
    are the means over all images of

    .. math::
        \text{entropy} = -\sum_c p_c \log p_c, \quad
        \text{nll} = -\log p_y, \quad
        \text{brier} = \|p - e_y\|^2

    and the expected calibration error, with the images in 15 bins :math:`B_m`
    of equal width by confidence :math:`\max_c p_c`, lower bounds excluded
    (Guo et al., `On Calibration of Modern Neural Networks
    <https://arxiv.org/abs/1706.04599>`_, ICML 2017)

    .. math::
        \text{ece} = \sum_m \frac{|B_m|}{V}
            |\mathrm{accuracy}(B_m) - \mathrm{confidence}(B_m)|

    Args:
        num_classes (int): C.
        tau (float): The temperature of softened predictions, see
            :class:`SoftSums`.
        device (torch.device): The device of the sums, which are float64.

    Attributes:
        confusion (Tensor, optional): Number of images by label and top-1,
            (C, C); None with more than :data:`MOST_CLASSES` classes.
        bins (Tensor): For each bin, the number of images, the number of
            correctly classified ones, and the sum of confidences, (15, 3).
    """

    def __init__(self, num_classes: int, tau: float, device: torch.device) -> None:
        super().__init__(num_classes, device)
        self.totals = self.classes.new_zeros(3)
        self.confusion: Optional[torch.Tensor] = None
        if self.soft_scores is not None:
            self.confusion = torch.zeros_like(self.soft_scores)
        self.bins = self.classes.new_zeros(NUM_BINS, 3)
        self._tau = tau

    def add(self, scores: torch.Tensor, labels: torch.Tensor) -> None:
        """Add predictions.

        Args:
            scores (Tensor): Probabilities (B, C), float64.
            labels (Tensor): Class indices (B,).
        """
        self.add_soft(soften(scores, self._tau), labels)
        own = scores.gather(1, labels[:, None])[:, 0]
        confidence, top = scores.max(1)
        self.totals += torch.stack(
            [
                torch.special.entr(scores).sum(),
                -own.clamp_min(torch.finfo(own.dtype).tiny).log().sum(),
                # |p|^2 - 2 p_y + 1
                (scores.square().sum(1) - 2 * own + 1).sum(),
            ]
        )
        one = torch.ones_like(own)
        if self.confusion is not None:
            self.confusion.index_put_((labels, top), one, accumulate=True)
        index = (confidence * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1
        self.bins.index_add_(
            0, index, torch.stack([one, (top == labels).double(), confidence], 1)
        )

    def statistics(self) -> Dict[str, float]:
        """Compute the statistics that are single numbers.

        Returns:
            Dict[str, float]: ``entropy`` and ``nll`` in nats, ``brier``,
            ``ece``, and the statistics of :class:`SoftSums`.
        """
        means = (self.totals / self.classes.sum()).tolist()
        return dict(
            zip(('entropy', 'nll', 'brier'), means),
            ece=expected_calibration_error(self.bins),
            **super().statistics(),
        )


def expected_calibration_error(bins) -> float:
    """Compute the expected calibration error from the ``bins`` of
    :class:`PredictionSums`.

    Args:
        bins (Tensor | ndarray): (15, 3).

    Returns:
        float: In [0, 1].
    """
    return float(abs(bins[:, 1] - bins[:, 2]).sum() / bins[:, 0].sum())
