# Copyright (c) mmdckd contributors. All rights reserved.
"""What the heads of MMPretrain predict with.

The knowledge of a network is the scores that its head predicts with. Most
heads return them, in training too; ``docs/reference/heads.md`` has the table.
"""

import inspect
from typing import Any, Callable, Dict, NamedTuple, Optional

from mmpretrain.models import heads
from torch import nn

from .token_heads import token_source


class Knowledge(NamedTuple):
    """Where the scores of a network are recorded.

    Attributes:
        source (str): The name of the module that returns them, or that from
            which they follow.
        scores (Callable): Makes them of the head and of what was recorded.
    """

    source: str
    scores: Callable[[nn.Module, Any], Any] = lambda head, output: output


# Types of heads that return their scores differ from the rest of this table:
# what they return in training is not what they predict with.
_KNOWLEDGE: Dict[type, Knowledge] = {
    # In training the label's score has a margin less.
    heads.ArcFaceClsHead: Knowledge(
        'head.norm_product', lambda head, cosine: head.scale * cosine
    ),
    # Two classifiers, whose scores it adds up to predict.
    heads.ConformerHead: Knowledge('head', lambda head, scores: scores[0] + scores[1]),
}

#: Heads of MMPretrain that predict no distribution over classes.
_NO_CLASSES = tuple(
    getattr(heads, name)
    for name in heads.__all__
    if not issubclass(getattr(heads, name), (heads.ClsHead, heads.MultiLabelClsHead))
)


def knowledge_of(network: nn.Module, key: str) -> Knowledge:
    """Tell where a network's scores are recorded.

    Args:
        network (nn.Module): The network.
        key (str): The config key by which another recorder is named, for the
            message.

    Returns:
        Knowledge: The output of ``head``, or what else its type says; of a
        network without a head, the output of ``model``. Of one whose two
        classifiers learn apart, the output of that for distillation; see
        :mod:`~.token_heads`.

    Raises:
        ValueError: If the head predicts no classes, several tasks, or looks
            at labels and is none that is known.
    """
    by_token = token_source(network)
    if by_token is not None:
        return Knowledge(by_token)
    head = getattr(network, 'head', None)
    if head is None:
        return Knowledge('model')
    for kind in type(head).__mro__:
        if kind in _KNOWLEDGE:
            return _KNOWLEDGE[kind]
    name = type(head).__name__
    if isinstance(head, heads.MultiTaskHead):
        tasks = list(head.task_heads)
        raise ValueError(
            f'Invalid `head`: expected one that predicts the classes of one '
            f'task, got a {name} of {tasks}. Choose the task to learn from: '
            f"`{key}=dict(type='ModuleOutputs', "
            f"source='head.task_heads.{tasks[0]}')`."
        )
    if isinstance(head, _NO_CLASSES):
        raise ValueError(
            f'Invalid `head`: expected a classifier, got a {name}, which '
            f'predicts no classes. Name logits (B, C) by `{key}`, or drop '
            '`distiller.collective_losses`.'
        )
    if _looks_at_labels(head):
        raise ValueError(
            f'Invalid `head`: {name}.forward takes more than features, so '
            'what it returns in training may not be what it predicts with. '
            f'Name the module that returns the latter by `{key}`, such as '
            "dict(type='ModuleOutputs', source='head.fc')."
        )
    return Knowledge('head')


def why_not_the_head(network: nn.Module) -> Optional[str]:
    """Why no loss can take what a network's head returns in training.

    Args:
        network (nn.Module): The network.

    Returns:
        str, optional: The end of a sentence about the head; None where a loss
        can.
    """
    if token_source(network) is not None:
        return 'whose two classifiers learn apart'
    if isinstance(getattr(network, 'head', None), heads.ArcFaceClsHead):
        return 'whose output in training has the margin of the label in it'
    return None


def _looks_at_labels(head: nn.Module) -> bool:
    kinds = inspect.Parameter
    parameters = inspect.signature(head.forward).parameters.values()
    return (
        sum(
            p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
            for p in parameters
        )
        > 1
    )
