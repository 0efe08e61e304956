# Copyright (c) mmdckd contributors. All rights reserved.
"""Networks with a second classifier, for what others know.

`Training data-efficient image transformers & distillation through attention
<https://arxiv.org/abs/2012.12877>`_ (Touvron et al., ICML 2021) gives a network
two classifiers: one learns from the labels, one from the teacher. Prediction
is by the mean of their logits.
"""

from typing import Dict, List, Optional, Tuple

import torch
from mmpretrain.models import TimmClassifier, heads
from mmpretrain.structures import DataSample
from torch import nn

#: Logits (B, C) of the two classifiers.
Pair = Tuple[torch.Tensor, torch.Tensor]


class TokenHead(heads.ClsHead):
    """A head of MMPretrain with two classifiers, which trains.

    It has the weights of that head and predicts as it does, to the bit.
    """

    #: The distillation classifier, a module of the network.
    source: str
    #: Whether the class classifier alone learns from labels. Then the
    #: distillation classifier is the network's knowledge, see
    #: :func:`~.heads.knowledge_of`; else both learn by their mean.
    apart = False

    def classify(self, feats: tuple) -> Pair:
        """The logits of the class and the distillation classifier."""
        raise NotImplementedError

    def forward(self, feats: tuple) -> torch.Tensor:
        """The mean of both classifiers' logits, (B, C)."""
        scores, distilled = self.classify(feats)
        return (scores + distilled) / 2

    def loss(
        self, feats: tuple, data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """The losses of what learns from labels."""
        scores = self.classify(feats)[0] if self.apart else self(feats)
        return self._get_loss(scores, data_samples, **kwargs)


class TokenDeiTClsHead(TokenHead, heads.DeiTClsHead):
    """A ``DeiTClsHead`` whose two classifiers learn."""

    source = 'head.layers.head_dist'

    def classify(self, feats: tuple) -> Pair:
        token, distilled = self.pre_logits(feats)
        return self.layers.head(token), self.layers.head_dist(distilled)


class TokenLeViTClsHead(TokenHead, heads.LeViTClsHead):
    """A ``LeViTClsHead`` whose two classifiers learn."""

    source = 'head.head_dist'

    def classify(self, feats: tuple) -> Pair:
        feat = self.pre_logits(feats)
        return self.head(feat), self.head_dist(feat)


class TokenEfficientFormerClsHead(TokenHead, heads.EfficientFormerClsHead):
    """An ``EfficientFormerClsHead`` whose two classifiers learn."""

    source = 'head.dist_head'

    def classify(self, feats: tuple) -> Pair:
        feat = self.pre_logits(feats)
        return self.head(feat), self.dist_head(feat)


class TokenTimmClassifier(TimmClassifier):
    """A ``TimmClassifier`` of a network whose two classifiers learn apart.

    The network returns both in training, see its ``set_distilled_training``.
    """

    source = 'model.head_dist'

    def loss(
        self, inputs: torch.Tensor, data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """The losses of the class classifier."""
        scores, _ = self.model(inputs)
        return self._get_loss(scores, data_samples, **kwargs)


_TOKEN_HEADS = {
    heads.DeiTClsHead: TokenDeiTClsHead,
    heads.LeViTClsHead: TokenLeViTClsHead,
    heads.EfficientFormerClsHead: TokenEfficientFormerClsHead,
}


def token_source(network: nn.Module) -> Optional[str]:
    """The distillation classifier of a network whose two learn apart.

    Args:
        network (nn.Module): The network.

    Returns:
        str, optional: The name of the module; None of other networks.
    """
    if isinstance(network, TokenTimmClassifier):
        return network.source
    head = getattr(network, 'head', None)
    return head.source if isinstance(head, TokenHead) and head.apart else None


def train_classifiers(network: nn.Module, apart: bool) -> None:
    """Let both classifiers of a network learn, if it has two.

    Its weights, its config and what it predicts stay as they are; only the
    class of its head changes.

    Args:
        network (nn.Module): A classifier of MMPretrain.
        apart (bool): Whether one learns from labels and the other one from
            teacher and peers. Otherwise labels teach their mean, as
            MMPretrain trains DeiT's.
    """
    head = getattr(network, 'head', None)
    if isinstance(head, nn.Module) and type(head) in _TOKEN_HEADS and _has_two(head):
        head.__class__ = _TOKEN_HEADS[type(head)]
        head.apart = apart
    if (
        apart
        and type(network) is TimmClassifier
        and isinstance(getattr(network.model, 'head_dist', None), nn.Module)
    ):
        network.model.set_distilled_training(True)
        network.__class__ = TokenTimmClassifier


def _has_two(head: nn.Module) -> bool:
    if isinstance(head, heads.LeViTClsHead):
        return head.distillation
    return head.dist if isinstance(head, heads.EfficientFormerClsHead) else True
