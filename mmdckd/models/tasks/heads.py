# Copyright (c) mmdckd contributors. All rights reserved.
"""Where the scores that a network predicts with are recorded.

Others learn from the scores that a network's head predicts with. Most heads
of MMPretrain return them, in training too; ``docs/reference/heads.md`` has the
table.
"""

import inspect
from typing import Any, Callable, Dict, NamedTuple, Optional

from mmpretrain.models import heads
from torch import nn

from .token_heads import token_source


class Knowledge(NamedTuple):
    """Where a network's scores are recorded, and how to compute them.

    Attributes:
        source (str): The name of the module whose output is recorded.
        scores (Callable): Computes the scores from the head and the recorded
            output.
    """

    source: str
    scores: Callable[[nn.Module, Any], Any] = lambda head, output: output


# Heads whose output in training is not what they predict with.
_KNOWLEDGE: Dict[type, Knowledge] = {
    # In training, a margin is subtracted from the label's score.
    heads.ArcFaceClsHead: Knowledge(
        'head.norm_product', lambda head, cosine: head.scale * cosine
    ),
    # Two classifiers; the prediction is the sum of their scores.
    heads.ConformerHead: Knowledge('head', lambda head, scores: scores[0] + scores[1]),
}

#: Heads of MMPretrain that predict no distribution over classes.
_NO_CLASSES = tuple(
    getattr(heads, name)
    for name in heads.__all__
    if not issubclass(getattr(heads, name), (heads.ClsHead, heads.MultiLabelClsHead))
)


def knowledge_of(network: nn.Module, key: str) -> Knowledge:
    """Return where a network's scores are recorded.

    Args:
        network (nn.Module): The network.
        key (str): The config key of the recorder, for error messages.

    Returns:
        Knowledge: The output of ``head``, or what the type of the head needs;
        for a network without a head, the output of ``model``; for a network
        whose two classifiers are trained separately, the output of the
        distillation classifier, see :mod:`~.token_heads`.

    Raises:
        ValueError: If the head predicts no classes, solves several tasks, or
            is an unknown head that reads labels.
    """
    by_token = token_source(network)
    if by_token is not None:
        return Knowledge(by_token)
    head = getattr(network, 'head', None)
    if head is None:
        return Knowledge('model')
    special = _special(head)
    if special is not None:
        return special
    name = type(head).__name__
    if isinstance(head, heads.MultiTaskHead):
        tasks = list(head.task_heads)
        raise ValueError(
            f'Invalid `head`: expected a head for one task, got a {name} for '
            f'{tasks}. Choose the task to learn from: '
            f"`{key}=dict(type='ModuleOutputs', "
            f"source='head.task_heads.{tasks[0]}')`."
        )
    if isinstance(head, _NO_CLASSES):
        raise ValueError(
            f'Invalid `head`: expected a classifier, got a {name}, which '
            f'predicts no classes. Set `{key}` to record logits (B, C), or remove '
            '`distiller.collective_losses`.'
        )
    if _looks_at_labels(head):
        raise ValueError(
            'Invalid `head`: expected one whose forward takes only features, got '
            f'a {name}, whose output in training may not be what it predicts '
            f'with. Set `{key}` to record the scores, such as '
            "dict(type='ModuleOutputs', source='head.fc')."
        )
    return Knowledge('head')


def predicted_scores(network: nn.Module, output: Any) -> Any:
    """Compute the scores that a network predicts with.

    Args:
        network (nn.Module): The network.
        output (Any): What it returns in evaluation, in ``tensor`` mode.

    Returns:
        Any: The scores. They are the output, except for a ``ConformerHead``, whose
        prediction is the sum of its two outputs.
    """
    head = getattr(network, 'head', None)
    special = _special(head)
    if special is None or special.source != 'head':
        return output
    return special.scores(head, output)


def why_not_the_head(network: nn.Module) -> Optional[str]:
    """Explain why losses cannot use what a head returns in training.

    Args:
        network (nn.Module): The network.

    Returns:
        str, optional: A relative clause about the head; None if losses can
        use its output.
    """
    if token_source(network) is not None:
        return 'whose two classifiers are trained separately'
    if isinstance(getattr(network, 'head', None), heads.ArcFaceClsHead):
        return 'whose output in training includes the margin of the label'
    return None


def _special(head: Optional[nn.Module]) -> Optional[Knowledge]:
    """Return what the type of a head needs, if its output does not do."""
    kinds = type(head).__mro__
    return next((_KNOWLEDGE[kind] for kind in kinds if kind in _KNOWLEDGE), None)


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
