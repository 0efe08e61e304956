# Copyright (c) mmdckd contributors. All rights reserved.
"""Networks with a second classifier for distillation.

`Training data-efficient image transformers & distillation through attention
<https://arxiv.org/abs/2012.12877>`_ (Touvron et al., ICML 2021) gives a network
two classifiers: one learns from labels, the other from the teacher. The
prediction is the mean of their logits.
"""

from abc import abstractmethod
from typing import Dict, List, Optional, Tuple

import torch
from mmpretrain.models import TimmClassifier, heads
from mmpretrain.structures import DataSample
from torch import nn

#: Logits (B, C) of the two classifiers.
Pair = Tuple[torch.Tensor, torch.Tensor]


class TokenHead(heads.ClsHead):
    """Makes a head of MMPretrain with two classifiers trainable.

    It has the weights of that head, and its predictions are bitwise equal.
    """

    #: The name of the distillation classifier in the network.
    source: str
    #: Whether only the class classifier learns from labels. Then the
    #: distillation classifier learns from teacher and peers, see
    #: :func:`~.heads.knowledge_of`; otherwise, labels train the mean of both.
    apart = False

    @abstractmethod
    def classify(self, feats: tuple) -> Pair:
        """Return the logits of the class and the distillation classifier."""

    def forward(self, feats: tuple) -> torch.Tensor:
        """Return the mean of both classifiers' logits, (B, C)."""
        scores, distilled = self.classify(feats)
        return (scores + distilled) / 2

    def loss(
        self, feats: tuple, data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """Compute the losses of what learns from labels."""
        scores = self.classify(feats)[0] if self.apart else self(feats)
        return self._get_loss(scores, data_samples, **kwargs)


class TokenDeiTClsHead(TokenHead, heads.DeiTClsHead):
    """A trainable ``DeiTClsHead``."""

    source = 'head.layers.head_dist'

    def classify(self, feats: tuple) -> Pair:
        token, distilled = self.pre_logits(feats)
        return self.layers.head(token), self.layers.head_dist(distilled)


class TokenLeViTClsHead(TokenHead, heads.LeViTClsHead):
    """A trainable ``LeViTClsHead``."""

    source = 'head.head_dist'

    def classify(self, feats: tuple) -> Pair:
        feat = self.pre_logits(feats)
        return self.head(feat), self.head_dist(feat)


class TokenEfficientFormerClsHead(TokenHead, heads.EfficientFormerClsHead):
    """A trainable ``EfficientFormerClsHead``."""

    source = 'head.dist_head'

    def classify(self, feats: tuple) -> Pair:
        feat = self.pre_logits(feats)
        return self.head(feat), self.dist_head(feat)


class TokenTimmClassifier(TimmClassifier):
    """A ``TimmClassifier`` whose two classifiers are trained separately.

    In training, the network returns both outputs; see its
    ``set_distilled_training``.
    """

    source = 'model.head_dist'

    def loss(
        self, inputs: torch.Tensor, data_samples: List[DataSample], **kwargs
    ) -> Dict[str, torch.Tensor]:
        """Compute the losses of the class classifier."""
        scores, _ = self.model(inputs)
        return self._get_loss(scores, data_samples, **kwargs)


_TOKEN_HEADS = {
    heads.DeiTClsHead: TokenDeiTClsHead,
    heads.LeViTClsHead: TokenLeViTClsHead,
    heads.EfficientFormerClsHead: TokenEfficientFormerClsHead,
}


def token_source(network: nn.Module) -> Optional[str]:
    """Find the distillation classifier of a network, if it is trained separately.

    Args:
        network (nn.Module): The network.

    Returns:
        str, optional: The name of the module; None for other networks.
    """
    if isinstance(network, TokenTimmClassifier):
        return network.source
    head = getattr(network, 'head', None)
    return head.source if isinstance(head, TokenHead) and head.apart else None


def train_classifiers(network: nn.Module, apart: bool) -> None:
    """Make both classifiers of a network trainable, if it has two.

    Weights, config and predictions stay the same; only the class of the head
    changes.

    Args:
        network (nn.Module): A classifier of MMPretrain.
        apart (bool): Whether one learns from labels and the other from teacher
            and peers. If False, labels train their mean, as in MMPretrain's
            DeiT.
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
