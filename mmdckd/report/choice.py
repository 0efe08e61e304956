# Copyright (c) mmdckd contributors. All rights reserved.
"""Choose the best student of a run and its validation, as in ``best.pth``."""

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

#: The other values that are logged with the metrics of a validation.
_NO_METRICS = ('step', 'time', 'data_time')


class Choice(NamedTuple):
    """A student of one validation.

    Attributes:
        student (str): Its name.
        step (int): The epoch or iteration of the validation.
        value (float): The student's value of the metric by which students are
            compared.
    """

    student: str
    step: int
    value: float


class Rules(NamedTuple):
    """The rules by which a run chooses a student and a validation.

    Attributes:
        students (BestRule): How the best student of a validation is chosen.
        key (str): The value by which the best validation is chosen.
        rule (str): ``'greater'`` or ``'less'``, whichever is better for it.
        graduates (Tuple[str]): The students to choose among; all if it is empty.
    """

    students: BestRule
    key: str
    rule: str
    graduates: Tuple[str, ...] = ()


def rules_of(config: Config, validation: Sequence[Dict[str, Any]]) -> Optional[Rules]:
    """Return the rules of a run, those of
    :class:`~mmdckd.engine.loops.CollectiveValLoop` and ``save_best``.

    Args:
        config (Config): The config of the run.
        validation (Sequence[Dict[str, Any]]): The logged values of its
            validations.

    Returns:
        Rules, optional: None if there are no metrics.

    Raises:
        ValueError: If the config names a metric that was not measured.
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
    return Rules(own, *(saved[0] if saved else (key, own.rule)), _graduates(config))


def _graduates(config: Config) -> Tuple[str, ...]:
    """Return the students that see all images, which are deployed; none without
    folds."""
    found: Any = config.to_dict()
    for key in ('model', 'folds', 'graduate'):
        found = found.get(key) if isinstance(found, dict) else None
    found = [found] if isinstance(found, str) else found
    return tuple(found) if isinstance(found, (list, tuple)) else ()


def choose(rules: Rules, validation: Sequence[Dict[str, Any]]) -> Optional[Choice]:
    """Choose a student and a validation.

    Args:
        rules (Rules): The rules.
        validation (Sequence[Dict[str, Any]]): The logged values of the
            validations, in order.

    Returns:
        Choice, optional: None if all values are NaN.
    """
    curves = curves_of(validation, rules.students.metric)
    own = {
        name: curves[name]
        for name in students_of(curves)
        if name in rules.graduates or not rules.graduates
    }
    decisive = {r['step']: r[rules.key] for r in validation if rules.key in r}
    return best_point(own, rules.students.rule, decisive, rules.rule)


def best_point(
    students: Curves,
    rule: str = 'greater',
    decisive: Optional[Dict[int, float]] = None,
    rule_of_steps: str = 'greater',
) -> Optional[Choice]:
    """Choose the best student and step of curves.

    Args:
        students (Dict[str, Dict[int, float]]): Student to step to value.
        rule (str): ``'greater'`` or ``'less'``, whichever is better. Defaults
            to ``'greater'``.
        decisive (Dict[int, float], optional): Step to the value by which the
            step is chosen. Defaults to None: the value of its best student.
        rule_of_steps (str): ``'greater'`` or ``'less'``, whichever is better
            for these. Defaults to ``'greater'``.

    Returns:
        Choice, optional: None if all values are NaN.
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
    # As in a validation: the first student if all values are NaN.
    name = best[chosen] or next(iter(by_step[chosen]))
    return Choice(name, chosen, by_step[chosen][name])


def _metrics(validation: Sequence[Dict[str, Any]]) -> Dict[str, float]:
    """Return the metrics of a student, or of a single network, in the first
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
    """Yield the metrics and rules of ``save_best`` in a config's hooks."""
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
