# Copyright (c) mmdckd contributors. All rights reserved.
"""Which student is best."""

import math
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple, TypeVar

import numpy as np
import torch
from mmengine.hooks import CheckpointHook, Hook

from mmdckd import names

#: Which of two values is better.
RULES = ('greater', 'less')

Key = TypeVar('Key')


def best_of(values: Mapping[Key, Any], rule: str) -> Optional[Key]:
    """Choose the best of several values: students of a validation, or
    validations of a run.

    Args:
        values (Mapping): What they are the values of, to values.
        rule (str): ``'greater'`` or ``'less'``, whichever is better.

    Returns:
        Any: The key of the best value, the first of those that are equal, as
        MMEngine's ``CheckpointHook`` has it. A value that is not a number
        (NaN) is never chosen; None where there is no other.
    """
    sign = 1 if rule == 'greater' else -1
    best, record = None, -math.inf
    for key, value in values.items():
        score = sign * float(value)
        if score > record:
            best, record = key, score
    return best


class BestRule(NamedTuple):
    """By which metric, and how, the best student is chosen.

    Attributes:
        metric (str): The metric, without a member in front.
        rule (str): ``'greater'`` or ``'less'``, whichever is better.
        reason (str): Where this was said.
    """

    metric: str
    rule: str
    reason: str

    def best(self, results: Dict[str, Dict[str, Any]]) -> str:
        """The best of several members, by :func:`best_of`; the first where no
        value is a number.

        Args:
            results (Dict[str, dict]): Name to metrics.
        """
        values = {name: metrics[self.metric] for name, metrics in results.items()}
        best = best_of(values, self.rule)
        return next(iter(results)) if best is None else best

    def __str__(self) -> str:
        which = 'greatest' if self.rule == 'greater' else 'least'
        return (
            f'The best student is the one with the {which} '
            f'{self.metric!r} ({self.reason}).'
        )


def choose_rule(
    values: Dict[str, Any],
    key: str,
    saved: Iterable[Tuple[str, str]],
    monitor: Optional[str] = None,
    rule: Optional[str] = None,
) -> BestRule:
    """Decide which student is best.

    It is the one that is best by ``monitor``; without it, by the metric that
    ``save_best`` of ``CheckpointHook`` names, the first of several; without
    that, by the first metric that is one number.

    Args:
        values (Dict[str, Any]): A member's metrics, by their names.
        key (str): The config key of the loop, such as ``'val_cfg'``, for the
            messages.
        saved (Iterable[Tuple[str, str]]): What ``save_best`` follows, as of
            :func:`saved_by`.
        monitor (str, optional): A metric. Defaults to None.
        rule (str, optional): ``'greater'`` or ``'less'``. Defaults to None:
            that of ``save_best`` where it names the metric, or what
            ``CheckpointHook`` infers from the name, or ``'greater'``.

    Returns:
        BestRule: The rule.

    Raises:
        ValueError: If there is no such metric, or it is not one number.
    """
    followed = ((names.split_metric(name), rule) for name, rule in saved)
    rules = {split[1]: rule for split, rule in followed if split}
    reason = f'the first metric of `{key[:-4]}_evaluator`'
    if monitor is not None:
        check_monitor(monitor, values, f'{key}.monitor')
        metric, reason = monitor, f'`{key}.monitor`'
    else:
        named = [name for name in rules if name in values]
        scalars = [name for name in values if is_number(values[name])]
        if named:
            check_monitor(named[0], values, 'save_best')
            metric, reason = named[0], '`save_best`'
        elif scalars:
            metric = scalars[0]
        else:
            raise ValueError(
                f'`{key[:-4]}_evaluator` has no metric that is one number, by '
                'which a student could be best: '
                f'{", ".join(values) or "it has none"}. Add one, such as '
                "dict(type='Accuracy')."
            )
    return BestRule(metric, rule or rules.get(metric) or infer_rule(metric), reason)


def saved_by(hooks: Iterable[Hook]) -> Iterable[Tuple[str, str]]:
    """What ``save_best`` of hooks follows: the metrics, and the rules."""
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            yield from (
                (key, rule)
                for key, rule in zip(hook.key_indicators, hook.rules)
                if rule
            )


def is_record(
    metrics: Mapping[str, Any], hooks: Iterable[Hook], noted: Mapping[str, Any]
) -> bool:
    """Whether a validation is the best yet by ``save_best``, before
    ``CheckpointHook`` notes it.

    Args:
        metrics (Mapping[str, Any]): What the validation has measured.
        hooks (Iterable[Hook]): The hooks of the run; the first metric of the
            first ``save_best`` counts.
        noted (Mapping[str, Any]): ``runtime_info`` of the message hub, with
            the best score of the validations before.
    """
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best and metrics:
            key = hook.key_indicators[0]
            noted_as = 'best_score'
            if len(hook.key_indicators) > 1:
                noted_as += f'_{key}'
            if key == 'auto':  # as CheckpointHook is about to settle it
                key = next(iter(metrics))
            if metrics.get(key) is None:
                return False
            rule = hook.rules[0] or infer_rule(key)
            before = {'before': noted[noted_as]} if noted_as in noted else {}
            return best_of({**before, 'now': metrics[key]}, rule) == 'now'
    return False


def infer_rule(metric: str) -> str:
    """Whether a greater value is better, as ``CheckpointHook`` infers it from
    the name; where it does not, a greater one is."""
    name = metric.lower()
    if any(key.lower() in name for key in CheckpointHook._default_greater_keys):
        return 'greater'
    less = any(key in name for key in CheckpointHook._default_less_keys)
    return 'less' if less else 'greater'


def check_monitor(name: str, values: Dict[str, Any], key: str) -> None:
    """Check that something can be followed.

    Args:
        name (str): The metric to follow.
        values (Dict[str, Any]): The metrics that there are.
        key (str): The config key that names it, for the message.

    Raises:
        ValueError: If there is no such metric, or it is not one number. The
            message lists those that are.
    """
    if name in values and is_number(values[name]):
        return
    usable = [each for each, value in values.items() if is_number(value)]
    near = [each for each in usable if names.member_of(each, name)]
    best = names.metric_name(names.BEST, name)
    near = [best] if best in near else near
    got = f'{name!r}, which is none'
    if name in values:
        got = f'{name!r}, which is {_describe(values[name])}'
    raise ValueError(
        f'Invalid `{key}`: expected one of the metrics that are one number, '
        f'{", ".join(usable) or "of which there is none"}; got {got}.'
        + (f' Did you mean {near[0]!r}?' if near else '')
    )


def is_number(value: Any) -> bool:
    """Whether a value can be compared: one number."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return math.prod(value.shape) == 1
    return isinstance(value, (int, float, np.number))


def _describe(value: Any) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f'an array of shape {tuple(value.shape)}'
    return f'a {type(value).__name__}'
