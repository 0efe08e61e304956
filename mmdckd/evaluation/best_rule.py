# Copyright (c) mmdckd contributors. All rights reserved.
"""Choose the best student by a metric."""

import math
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple, TypeVar

import numpy as np
import torch
from mmengine.hooks import CheckpointHook, Hook

from mmdckd import names
from mmdckd.errors import invalid

#: The comparison in which the better of two values comes first.
RULES = ('greater', 'less')

Key = TypeVar('Key')


def best_of(values: Mapping[Key, Any], rule: str) -> Optional[Key]:
    """Choose the best of several values, for example of the students in a
    validation or the validations of a run.

    Args:
        values (Mapping): Key to value.
        rule (str): ``'greater'`` or ``'less'``, whichever is better.

    Returns:
        Any: The key of the best value; the first one in a tie, as in MMEngine's
        ``CheckpointHook``. NaN is never chosen; None if there is no other value.
    """
    sign = 1 if rule == 'greater' else -1
    best, record = None, -math.inf
    for key, value in values.items():
        score = sign * float(value)
        if score > record:
            best, record = key, score
    return best


class BestRule(NamedTuple):
    """The metric and the comparison by which the best student is chosen.

    Attributes:
        metric (str): The metric, without the prefix of a member.
        rule (str): ``'greater'`` or ``'less'``, whichever is better.
        reason (str): Why this metric, for example the config key that names it.
    """

    metric: str
    rule: str
    reason: str

    def best(self, results: Dict[str, Dict[str, Any]]) -> str:
        """Return the best of several members by :func:`best_of`; the first one if
        all values are NaN.

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
    """Choose the rule by which the best student is selected.

    The metric is ``monitor``; without it, the first metric in ``save_best`` of
    ``CheckpointHook``; without that, the first metric whose value is a number.

    Args:
        values (Dict[str, Any]): A member's metrics by name.
        key (str): The config key of the loop, such as ``'val_cfg'``, for error
            messages.
        saved (Iterable[Tuple[str, str]]): The metrics and rules of
            ``save_best``; see :func:`saved_by`.
        monitor (str, optional): A metric. Defaults to None.
        rule (str, optional): ``'greater'`` or ``'less'``. Defaults to None: the
            rule of ``save_best`` if it names the metric, or the rule that
            ``CheckpointHook`` infers from the name, or ``'greater'``.

    Returns:
        BestRule: The rule.

    Raises:
        ValueError: If the metric does not exist, or its value is not a number, or
            ``save_best`` follows it by the other rule.
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
                f'Invalid `{key[:-4]}_evaluator`: expected a metric whose value is a '
                "number, such as dict(type='Accuracy'), to choose the best student, "
                f'got {", ".join(values) or "none"}.'
            )
    saved_rule = rules.get(metric)
    if rule and saved_rule and rule != saved_rule:
        expected = f'{saved_rule!r}, as `save_best` follows for {metric!r}'
        hint = f' Or set default_hooks.checkpoint.rule={rule!r}.'
        raise invalid(f'{key}.rule', expected, rule, hint)
    return BestRule(metric, rule or rules.get(metric) or infer_rule(metric), reason)


def saved_by(hooks: Iterable[Hook]) -> Iterable[Tuple[str, str]]:
    """Yield the metrics and rules of ``save_best`` of hooks."""
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            yield from (
                (key, rule)
                for key, rule in zip(hook.key_indicators, hook.rules)
                if rule
            )


def records_of(hook: CheckpointHook) -> Tuple[Tuple[str, str, str], ...]:
    """Return each metric of ``save_best``, and MMEngine's keys in the message
    hub for its best score and the path of its checkpoint."""
    metrics = hook.key_indicators if hook.save_best else []
    if len(metrics) == 1:
        return ((metrics[0], 'best_score', 'best_ckpt'),)
    return tuple((each, f'best_score_{each}', f'best_ckpt_{each}') for each in metrics)


def is_record(
    metrics: Mapping[str, Any], hooks: Iterable[Hook], noted: Mapping[str, Any]
) -> bool:
    """Tell whether a validation is the best so far by ``save_best``, before
    ``CheckpointHook`` records it.

    Args:
        metrics (Mapping[str, Any]): The metrics of the validation.
        hooks (Iterable[Hook]): The hooks of the run; the first metric of the
            first ``save_best`` is used.
        noted (Mapping[str, Any]): ``runtime_info`` of the message hub, with the
            best score of earlier validations.
    """
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best and metrics:
            key, noted_as, _ = records_of(hook)[0]
            if key == 'auto':  # CheckpointHook will choose the first metric
                key = next(iter(metrics))
            if metrics.get(key) is None:
                return False
            rule = hook.rules[0] or infer_rule(key)
            before = {'before': noted[noted_as]} if noted_as in noted else {}
            return best_of({**before, 'now': metrics[key]}, rule) == 'now'
    return False


def infer_rule(metric: str) -> str:
    """Infer from a metric's name whether a greater or smaller value is better, as
    ``CheckpointHook`` does; 'greater' for other names."""
    name = metric.lower()
    if any(key.lower() in name for key in CheckpointHook._default_greater_keys):
        return 'greater'
    less = any(key in name for key in CheckpointHook._default_less_keys)
    return 'less' if less else 'greater'


def check_monitor(name: str, values: Dict[str, Any], key: str) -> None:
    """Check that a monitored metric exists and is a number.

    Args:
        name (str): The metric.
        values (Dict[str, Any]): Metric to value.
        key (str): The config key that names the metric, for the error message.

    Raises:
        ValueError: If the metric does not exist or its value is not a number.
            The message lists the usable metrics.
    """
    if name in values and is_number(values[name]):
        return
    usable = [each for each, value in values.items() if is_number(value)]
    near = [each for each in usable if names.member_of(each, name)]
    best = names.metric_name(names.BEST, name)
    near = [best] if best in near else near
    got = repr(name)
    if name in values:
        got = f'{name!r}, which is {_describe(values[name])}'
    raise ValueError(
        f'Invalid `{key}`: expected one of the metrics that are a number '
        f'({", ".join(usable) or "there is none"}), got {got}.'
        + (f' Did you mean {near[0]!r}?' if near else '')
    )


def is_number(value: Any) -> bool:
    """Tell whether a value is a single number."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return math.prod(value.shape) == 1
    return isinstance(value, (int, float, np.number))


def _describe(value: Any) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f'an array of shape {tuple(value.shape)}'
    return f'a {type(value).__name__}'
