# Copyright (c) mmdckd contributors. All rights reserved.
"""The best student of a run and its validation, as ``best.pth`` has them."""

from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config

from mmdckd import names
from mmdckd.evaluation.best_rule import (
    BestRule,
    best_of,
    choose_rule,
    infer_rule,
    is_number,
)

from .curves import Curves, curves_of, students_of
from .measures import ACCURACY

#: What is logged beside the metrics of a validation.
_NO_METRICS = ('step', 'time', 'data_time')


class Choice(NamedTuple):
    """A student of one validation.

    Attributes:
        student (str): Its name.
        step (int): The validation: its epoch, or its iteration.
        value (float): What the student has there in the metric that students
            are compared by.
    """

    student: str
    step: int
    value: float


class Rules(NamedTuple):
    """How a run chooses.

    Attributes:
        students (BestRule): How the best student of a validation is chosen.
        key (str): The value by which the best validation is chosen.
        rule (str): ``'greater'`` or ``'less'``, whichever is better of it.
    """

    students: BestRule
    key: str
    rule: str


def rules_of(config: Config, validation: Sequence[Dict[str, Any]]) -> Optional[Rules]:
    """How a run chooses: as :class:`~mmdckd.engine.loops.CollectiveValLoop`
    and ``save_best`` of its checkpoints do by its config.

    Args:
        config (Config): Its config.
        validation (Sequence[Dict[str, Any]]): What was logged of its
            validations.

    Returns:
        Rules, optional: None where nothing was measured.

    Raises:
        ValueError: If the config follows a metric that was not measured.
    """
    values = _metrics(validation)
    if not values:
        return None
    saved = list(_saved(config, validation[0]))
    if any(names.metric_of(key, names.BEST) for key in validation[0]):
        cfg = config.get('val_cfg') or {}
        own = choose_rule(values, 'val_cfg', saved, cfg.get('monitor'), cfg.get('rule'))
        key = names.metric_name(names.BEST, own.metric)
    else:
        first = ACCURACY if ACCURACY in values else next(iter(values))
        key, rule = saved[0] if saved else (first, infer_rule(first))
        own = BestRule(key if key in values else first, rule, '`save_best`')
    return Rules(own, *(saved[0] if saved else (key, own.rule)))


def choose(rules: Rules, validation: Sequence[Dict[str, Any]]) -> Optional[Choice]:
    """Choose a student and a validation.

    Args:
        rules (Rules): How.
        validation (Sequence[Dict[str, Any]]): What was logged of the
            validations, in order.

    Returns:
        Choice, optional: None where no value is a number.
    """
    curves = curves_of(validation, rules.students.metric)
    own = {name: curves[name] for name in students_of(curves)}
    decisive = {r['step']: r[rules.key] for r in validation if rules.key in r}
    return best_point(own, rules.students.rule, decisive, rules.rule)


def best_point(
    students: Curves,
    rule: str = 'greater',
    decisive: Optional[Dict[int, float]] = None,
    rule_of_steps: str = 'greater',
) -> Optional[Choice]:
    """Choose a point of curves.

    Args:
        students (Dict[str, Dict[int, float]]): Student to step to value.
        rule (str): ``'greater'`` or ``'less'``, whichever is better. Defaults
            to ``'greater'``.
        decisive (Dict[int, float], optional): Step to the value by which the
            step is chosen. Defaults to None, that of its best student.
        rule_of_steps (str): Which is better of these. Defaults to
            ``'greater'``.

    Returns:
        Choice, optional: None where no value is a number.
    """
    by_step: Dict[int, Dict[str, float]] = {}
    for name, curve in students.items():
        for step, value in curve.items():
            by_step.setdefault(step, {})[name] = value
    best = {step: best_of(values, rule) for step, values in sorted(by_step.items())}
    if not decisive:
        rule_of_steps = rule
        decisive = {s: by_step[s][name] for s, name in best.items() if name is not None}
    chosen = best_of(dict(sorted(decisive.items())), rule_of_steps)
    if chosen is None or chosen not in by_step:
        return None
    # As a validation has it: the first student where no value is a number.
    name = best[chosen] or next(iter(by_step[chosen]))
    return Choice(name, chosen, by_step[chosen][name])


def _metrics(validation: Sequence[Dict[str, Any]]) -> Dict[str, float]:
    """The metrics of a student, or of a network alone, in the first
    validation."""
    if not validation:
        return {}
    record = validation[0]
    best = {names.metric_of(key, names.BEST): v for key, v in record.items()}
    best.pop(None, None)
    if best:
        return best  # type: ignore[return-value]
    if curves_of([record], ACCURACY):
        return {ACCURACY: next(v for k, v in record.items() if k.endswith(ACCURACY))}
    return {k: v for k, v in record.items() if k not in _NO_METRICS and is_number(v)}


def _saved(config: Config, record: Dict[str, Any]) -> Iterator[Tuple[str, str]]:
    """What ``save_best`` of the hooks in a config follows, and the rules."""
    hooks = [*(config.get('default_hooks') or {}).values()]
    for hook in [*hooks, *(config.get('custom_hooks') or [])]:
        keys = hook.get('save_best') if isinstance(hook, dict) else None
        if not keys:
            continue
        rules = hook.get('rule')
        keys = [keys] if isinstance(keys, str) else list(keys)
        rules = [rules] * len(keys) if not isinstance(rules, (list, tuple)) else rules
        for key, rule in zip(keys, [*rules, *len(keys) * rules[:1]]):
            if key == 'auto':  # MMEngine takes the first one
                key = next((k for k in record if k not in _NO_METRICS), key)
            if key in record:
                yield key, rule or infer_rule(key)
