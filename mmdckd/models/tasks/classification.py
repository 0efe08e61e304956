# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional, Sequence, Type

import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.heads import ClsHead
from mmpretrain.structures import DataSample, label_to_onehot
from torch import nn

from .labels import NO_LABEL, labeled_rows


class Classification:
    r"""The task of images with one class each: classes exclude each other.

    A network predicts one distribution over C classes,

    .. math:: P = \mathrm{softmax}(z / \tau)

    This class holds everything that depends on the task; losses and collectors
    use it. It has no state.
    """

    #: The value of ``task`` in a config.
    name = 'classification'
    #: The heads of MMPretrain for this task.
    head_type: Type[nn.Module] = ClsHead
    #: Whether classes exclude each other: a label is one class, or a mixture of
    #: classes that sums to 1.
    exclusive = True

    @staticmethod
    def gather_labels(
        samples: Optional[Sequence[BaseDataElement]], num_classes: int
    ) -> Optional[torch.Tensor]:
        """Gather the labels of a batch, in the form of MMPretrain's heads.

        Args:
            samples (Sequence[DataSample], optional): B data samples.
            num_classes (int): C.

        Returns:
            Tensor, optional: Soft labels (B, C) if the samples have
            ``gt_score``; (B,) if each sample has one ``gt_label``; multi-hot
            labels (B, C) if a sample has none or several. An image marked as
            unlabeled, among labeled ones, is -1 or a row of zeros. None if no
            image has labels, or one lacks labels without being marked.
        """
        rows = labeled_rows(samples)
        if not samples or not rows:
            return None
        first = samples[rows[0]]
        if 'gt_score' in first:
            nothing = torch.zeros_like(first.gt_score)
            return torch.stack([sample.get('gt_score', nothing) for sample in samples])
        labels = [sample.get('gt_label') for sample in samples]
        if any(label is not None and label.numel() != 1 for label in labels):
            none = first.gt_label.new_empty(0)
            return torch.stack(
                [
                    label_to_onehot(none if label is None else label, num_classes)
                    for label in labels
                ]
            )
        no_label = first.gt_label.new_full((1,), NO_LABEL)
        return torch.cat([no_label if label is None else label for label in labels])

    @staticmethod
    def distributions(logits: torch.Tensor) -> torch.Tensor:
        """Reshape logits into independent distributions; a loss sums over them.

        Args:
            logits (Tensor): (..., B, C).

        Returns:
            Tensor: Logits (..., R, K) of R softmax distributions over K
            outcomes: one distribution per image, or one per image and class.
        """
        return logits

    @staticmethod
    def per_image(num_classes: int) -> int:
        """Return the number of distributions per image.

        Args:
            num_classes (int): C.
        """
        return 1

    @staticmethod
    def renormalize(scores: torch.Tensor) -> torch.Tensor:
        """Normalize scores to distributions.

        Args:
            scores (Tensor): Non-negative, (..., R, K) as in
                :meth:`distributions`.

        Returns:
            Tensor: (..., R, K); rows sum to 1.
        """
        return scores / scores.sum(-1, keepdim=True)

    @staticmethod
    def scores(logits: torch.Tensor) -> torch.Tensor:
        """Compute the probability of each class, as heads predict it.

        Args:
            logits (Tensor): (..., C).

        Returns:
            Tensor: (..., C), by softmax.
        """
        return logits.softmax(-1)

    @staticmethod
    def entropy(logits: torch.Tensor) -> torch.Tensor:
        """Compute the entropy of predictions.

        Args:
            logits (Tensor): (..., B, C).

        Returns:
            Tensor: In nats, (..., B).
        """
        log_probs = logits.float().log_softmax(-1)
        return torch.special.entr(log_probs.exp()).sum(-1)

    @staticmethod
    def agreement(logits: torch.Tensor) -> torch.Tensor:
        r"""Compute the share of pairs of members with the same top-1.

        .. math::
            \frac{1}{B} \sum_b \frac{\sum_c n_{bc} (n_{bc} - 1)}{N (N - 1)}

        with :math:`n_{bc}` the number of members whose top-1 of image b is
        class c.

        Args:
            logits (Tensor): The logits of N > 1 members, (N, B, C).

        Returns:
            Tensor: One number in [0, 1].
        """
        number = len(logits)
        return _agreeing_pairs(logits).mean() / (number * (number - 1))

    @staticmethod
    def agreement_by_image(logits: torch.Tensor) -> torch.Tensor:
        """Compute the agreement for each image; :meth:`agreement` is its mean.

        Args:
            logits (Tensor): The logits of N > 1 members, (N, B, C).

        Returns:
            Tensor: In [0, 1], (B,).
        """
        number = len(logits)
        return _agreeing_pairs(logits) / (number * (number - 1))

    @classmethod
    def ensemble(
        cls, predictions: List[List[DataSample]], head: Optional[nn.Module] = None
    ) -> List[DataSample]:
        """Predict with an ensemble: the mean of its members' probabilities.

        Args:
            predictions (List[List[DataSample]]): The B predictions of each of
                N members, with ``pred_score`` (C,).
            head (nn.Module, optional): The head of a member, whose decision
                rule to use. Defaults to None.

        Returns:
            List[DataSample]: B new samples with the mean ``pred_score`` and
            the resulting ``pred_label``.
        """
        ensemble = []
        for samples in zip(*predictions):
            score = torch.stack([s.pred_score for s in samples]).mean(0)
            sample = samples[0].new()
            sample.set_pred_score(score)
            sample.set_pred_label(cls.decide(score, head))
            ensemble.append(sample)
        return ensemble

    @staticmethod
    def decide(score: torch.Tensor, head: Optional[nn.Module] = None) -> torch.Tensor:
        """Turn probabilities into a prediction.

        Args:
            score (Tensor): The probability of each class (C,).
            head (nn.Module, optional): The head whose decision rule to use.
                Defaults to None.

        Returns:
            Tensor: The most probable class, (1,).
        """
        return score.argmax(0, keepdim=True)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def _agreeing_pairs(logits: torch.Tensor) -> torch.Tensor:
    """Count the ordered pairs of members with the same top-1, (B,)."""
    _, batch, num_classes = logits.shape
    votes = torch.zeros(batch, num_classes, device=logits.device)
    top = logits.argmax(-1).t()
    votes.scatter_add_(1, top, torch.ones_like(top, dtype=votes.dtype))
    return (votes * (votes - 1)).sum(1)
