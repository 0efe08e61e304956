# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs beside each other, in numbers."""

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from mmdckd.names import COHORT, ENSEMBLE, STUDENT, TARGET, TEACHER, of_role

from .curves import ACCURACY
from .epoch_figures import other_metrics, weighted_losses
from .recorded_run import RecordedRun

#: What the config of a run says of its folder and its log, not of its result.
_OUTSIDE = (
    'work_dir',
    'visualizer',
    'vis_backends',
    'default_hooks',
    'log_processor',
    'log_level',
    'launcher',
    'experiment_name',
)

#: Of every student's last validation: title, statistic, format, factor.
_OF_STUDENTS = (
    ('students, mean top-1 (%)', ACCURACY, '{:.2f}', 1),
    ('students, mean NLL (nats)', 'nll', '{:.3f}', 1),
    ('students, mean Brier score', 'brier', '{:.4f}', 1),
    ('students, mean ECE (%)', 'ece', '{:.2f}', 100),
    ('students, mean entropy (nats)', 'entropy', '{:.3f}', 1),
    ('students, mean entropy softened (nats)', 'soft_entropy', '{:.3f}', 1),
    (
        "students, distance to the teacher's class correlation",
        'correlation_distance',
        '{:.4f}',
        1,
    ),
    (
        'students, the same without the class itself',
        'correlation_distance_non_target',
        '{:.4f}',
        1,
    ),
    (
        'students, same top-1 where the teacher is right (%)',
        'agreement_right',
        '{:.2f}',
        100,
    ),
    (
        'students, same top-1 where the teacher is wrong (%)',
        'agreement_wrong',
        '{:.2f}',
        100,
    ),
)


def compare(runs: Sequence[RecordedRun]) -> List[Tuple[str, List[str]]]:
    """Put the numbers of runs beside each other.

    Args:
        runs (Sequence[RecordedRun]): The runs.

    Returns:
        List[Tuple[str, List[str]]]: A row each: what it is, and its value in
        every run as text, '' where a run has none. Rows that no run has are
        left out.
    """
    rows: List[Tuple[str, Callable[[RecordedRun], Optional[str]]]] = [
        ('method', _method),
        ('validated so far', _progress),
        ('best student, top-1 (%)', _best_student),
        *(
            (title, _mean(metric, text, factor))
            for title, metric, text, factor in _OF_STUDENTS[:1]
        ),
        ('ensemble, top-1 (%)', _last(ENSEMBLE, ACCURACY, '{:.2f}')),
        ('teacher, top-1 (%)', _last(TEACHER, ACCURACY, '{:.2f}')),
        *(
            (title, _mean(metric, text, factor))
            for title, metric, text, factor in _OF_STUDENTS[1:]
        ),
        *(
            (f'students, mean {metric}', _mean(metric, '{:.4g}', 1))
            for metric in other_metrics(runs)
        ),
        (
            'collected target, entropy softened (nats)',
            _last(TARGET, 'soft_entropy', '{:.3f}'),
        ),
        ('teacher, entropy softened (nats)', _last(TEACHER, 'soft_entropy', '{:.3f}')),
        (
            'students, same top-1 in pairs (%)',
            _last(COHORT, 'agreement', '{:.2f}', 100),
        ),
        ('parameters of a student', _of_member(STUDENT, 'parameters')),
        ('parameters of the teacher', _of_member(TEACHER, 'parameters')),
        ('MACs of a student, one image', _of_member(STUDENT, 'macs')),
        ('MACs of the teacher, one image', _of_member(TEACHER, 'macs')),
        (
            'training step, median (s)',
            lambda run: f'{run.step_seconds:.4f}' if run.step_seconds else None,
        ),
        (
            'training throughput (images/s)',
            lambda run: rate(run.images_per_second) if run.images_per_second else None,
        ),
    ]
    table = [(title, [value(run) or '' for run in runs]) for title, value in rows]
    return [(title, values) for title, values in table if any(values)]


def rate(images: float) -> str:
    """Write images a second, of which a slow machine may have less than
    one."""
    return f'{images:,.0f}' if images >= 10 else f'{images:.2g}'


def config_differences(runs: Sequence[RecordedRun]) -> List[Tuple[str, List[str]]]:
    """Find what the configs of runs do not have in common.

    Args:
        runs (Sequence[RecordedRun]): The runs.

    Returns:
        List[Tuple[str, List[str]]]: A row each: the key, and its value in
        every run, '' where a config has none. What only says where or how a
        run is logged is left out.
    """
    flat = [
        dict(
            _flatten(
                {
                    key: value
                    for key, value in run.config.to_dict().items()
                    if key not in _OUTSIDE
                }
            )
        )
        for run in runs
    ]
    keys = dict.fromkeys(key for config in flat for key in config)
    rows = [(key, [config.get(key, '') for config in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _flatten(value: Any, path: str = '') -> Iterator[Tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flatten(part, f'{path}.{key}'.lstrip('.'))
    else:
        yield path, repr(value)


def _method(run: RecordedRun) -> str:
    model = run.config.model
    distiller = model.get('distiller') or {}
    weighted = weighted_losses(model)
    losses = []
    for key in ('collective_losses', 'distill_losses'):
        for name, loss in (distiller.get(key) or {}).items():
            losses.append(loss['type'].split('.')[-1])
            if name in weighted:
                losses[-1] += f' ({", ".join(weighted[name].weights(0))})'
    count = len(run.students)
    return (
        f'{count} student{"s" * (count > 1)}, {" + ".join(losses) or "no distillation"}'
    )


def _progress(run: RecordedRun) -> str:
    last = run.validation[-1]['step']
    train = run.config.train_cfg
    if 'max_epochs' in train:
        return f'{last} of {train.max_epochs} epochs'
    return f'{last} of {train.max_iters} iterations'


def _best_student(run: RecordedRun) -> str:
    curves = run.curves(ACCURACY)
    name = max(run.students, key=lambda name: _end(curves[name]))
    best = max(max(curves[name].values()) for name in run.students)
    return f'{_end(curves[name]):.2f} ({name}; at any time {best:.2f})'


def _mean(
    metric: str, text: str, factor: float
) -> Callable[[RecordedRun], Optional[str]]:

    def value(run: RecordedRun) -> Optional[str]:
        curves = run.curves(metric)
        values = [_end(curves[name]) for name in run.students if name in curves]
        if not values:
            return None
        return text.format(factor * sum(values) / len(values))

    return value


def _last(
    role: str, metric: str, text: str, factor: float = 1
) -> Callable[[RecordedRun], Optional[str]]:

    def value(run: RecordedRun) -> Optional[str]:
        curves = run.curves(metric)
        return ', '.join(
            text.format(factor * _end(curves[name])) for name in of_role(curves, role)
        )

    return value


def _of_member(role: str, key: str) -> Callable[[RecordedRun], Optional[str]]:

    def value(run: RecordedRun) -> Optional[str]:
        values = dict.fromkeys(
            f'{member[key]:,}' for member in run.members if role in member['role']
        )
        return ', '.join(values)

    return value


def _end(curve: Dict[int, float]) -> float:
    return curve[max(curve)]
