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


class TokenHead:
    """A head of MMPretrain whose two classifiers learn apart.

    It has the weights of that head and predicts as it does, to the bit. The
    task loss sees the class classifier alone; the distillation classifier is
    the network's knowledge, see :func:`~.heads.knowledge_of`.
    """

    #: The distillation classifier, a module of the network.
    source: str

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
        """The losses of the class classifier; the other one runs, to be
        recorded."""
        scores, _ = self.classify(feats)
        return self._get_loss(scores, data_samples, **kwargs)  # type: ignore[attr-defined]


class TokenDeiTClsHead(TokenHead, heads.DeiTClsHead):
    """A ``DeiTClsHead`` whose two classifiers learn apart."""

    source = 'head.layers.head_dist'

    def classify(self, feats: tuple) -> Pair:
        token, distilled = self.pre_logits(feats)
        return self.layers.head(token), self.layers.head_dist(distilled)


class TokenLeViTClsHead(TokenHead, heads.LeViTClsHead):
    """A ``LeViTClsHead`` whose two classifiers learn apart."""

    source = 'head.head_dist'

    def classify(self, feats: tuple) -> Pair:
        feat = self.pre_logits(feats)
        return self.head(feat), self.head_dist(feat)


class TokenEfficientFormerClsHead(TokenHead, heads.EfficientFormerClsHead):
    """An ``EfficientFormerClsHead`` whose two classifiers learn apart."""

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
    for owner in (network, getattr(network, 'head', None)):
        if isinstance(owner, (TokenHead, TokenTimmClassifier)):
            return owner.source
    return None


def learn_by_token(network: nn.Module) -> None:
    """Let the two classifiers of a network learn apart, if it has two.

    Its weights, its config and what it predicts stay as they are; only the
    class of its head changes.

    Args:
        network (nn.Module): A classifier of MMPretrain.
    """
    head = getattr(network, 'head', None)
    if type(head) in _TOKEN_HEADS and _has_two(head):
        head.__class__ = _TOKEN_HEADS[type(head)]
    if type(network) is TimmClassifier and isinstance(
        getattr(network.model, 'head_dist', None), nn.Module
    ):
        network.model.set_distilled_training(True)
        network.__class__ = TokenTimmClassifier


def check_trains(network: nn.Module, key: str) -> None:
    """Check that MMPretrain can train a network's head.

    Args:
        network (nn.Module): The network.
        key (str): Its config key, for the message.

    Raises:
        ValueError: If it cannot: LeViT and EfficientFormer with a second
            classifier raise in the first step.
    """
    head = getattr(network, 'head', None)
    refused = (heads.LeViTClsHead, heads.EfficientFormerClsHead)
    if isinstance(head, refused) and _has_two(head) and not isinstance(head, TokenHead):
        raise ValueError(
            f'Invalid `{key}.head.distillation`: expected False, as only students '
            'with a task loss and `distiller.collective_losses` train the second '
            f'classifier of a {type(head).__name__}, got True.'
        )


def _has_two(head: Optional[nn.Module]) -> bool:
    if isinstance(head, heads.LeViTClsHead):
        return head.distillation
    if isinstance(head, heads.EfficientFormerClsHead):
        return head.dist
    return isinstance(head, heads.DeiTClsHead)
