# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Sequence

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.structures import label_to_onehot
from torch import nn

from .classification import Classification
from .labels import has_labels


class MultiLabel(Classification):
    r"""The task of images with any number of classes each.

    A network predicts C independent Bernoulli distributions,

    .. math:: p_c = \mathrm{sigmoid}(z_c / \tau)

    Each is the softmax of the logits :math:`z_c / \tau` and 0 over two
    outcomes, present or absent. So divergences and entropies are sums over
    classes:

    .. math::
        KL(q \| p) = \sum_c q_c \log \frac{q_c}{p_c}
                     + (1 - q_c) \log \frac{1 - q_c}{1 - p_c}
    """

    name = 'multi_label'
    head_type = MultiLabelClsHead
    exclusive = False

    @staticmethod
    def gather_labels(
        samples: Optional[Sequence[BaseDataElement]], num_classes: int
    ) -> Optional[torch.Tensor]:
        """Gather the labels of a batch, in the form of MMPretrain's heads.

        Args:
            samples (Sequence[DataSample], optional): B data samples. An empty
                ``gt_label`` means an image of no class.
            num_classes (int): C.

        Returns:
            Tensor, optional: (B, C): ``gt_score``, or the multi-hot
            ``gt_label``. None if a sample has no labels.
        """
        if samples is None or not has_labels(samples):
            return None
        if 'gt_score' in samples[0]:
            return torch.stack([sample.gt_score for sample in samples])
        return torch.stack(
            [label_to_onehot(sample.gt_label, num_classes) for sample in samples]
        )

    @staticmethod
    def distributions(logits: torch.Tensor) -> torch.Tensor:
        """Reshape logits into C distributions per image over two outcomes,
        present and absent.

        Args:
            logits (Tensor): (..., B, C).

        Returns:
            Tensor: (..., B C, 2).
        """
        pairs = torch.stack([logits, torch.zeros_like(logits)], -1)
        return pairs.flatten(-3, -2)

    @staticmethod
    def per_image(num_classes: int) -> int:
        return num_classes

    @staticmethod
    def renormalize(scores: torch.Tensor) -> torch.Tensor:
        """Normalize scores to distributions; the score of a present class stays,
        as classes do not exclude each other."""
        there = scores[..., :1]
        return torch.cat([there, 1 - there], -1)

    @staticmethod
    def scores(logits: torch.Tensor) -> torch.Tensor:
        """Compute the probability of each class, by sigmoid."""
        return logits.sigmoid()

    @staticmethod
    def entropy(logits: torch.Tensor) -> torch.Tensor:
        """Compute the entropy of predictions, summed over classes."""
        logits = logits.float()
        return sum(torch.special.entr(z.sigmoid()).sum(-1) for z in (logits, -logits))

    @staticmethod
    def agreement(logits: torch.Tensor) -> torch.Tensor:
        r"""Compute the share of pairs of members that agree about a class.

        .. math::
            \frac{1}{BC} \sum_{bc} \frac{n_{bc} (n_{bc} - 1)
                + (N - n_{bc}) (N - n_{bc} - 1)}{N (N - 1)}

        with :math:`n_{bc}` the number of members that predict class c for image
        b, :math:`z \ge 0`.
        """
        number = len(logits)
        votes = (logits >= 0).float().sum(0)
        others = number - votes
        pairs = votes * (votes - 1) + others * (others - 1)
        return pairs.mean() / (number * (number - 1))

    @staticmethod
    def decide(score: torch.Tensor, head: Optional[nn.Module] = None) -> torch.Tensor:
        """Return the classes above the head's ``thr`` (0.5 without a head), or its
        ``topk`` largest."""
        threshold = getattr(head, 'thr', None)
        topk = getattr(head, 'topk', None)
        if threshold is None and isinstance(topk, int):
            return score.topk(topk).indices
        return torch.where(score >= (0.5 if threshold is None else threshold))[0]
