# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare runs in tables of numbers."""

from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from mmdckd.names import COHORT, ENSEMBLE, STUDENT, TARGET, TEACHER, of_role

from .epoch_figures import other_metrics, weighted_losses
from .measures import image_rate, title_of, written
from .recorded_run import RecordedRun

#: Config keys that describe the folder and log of a run, not its result.
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

#: A title, and a function that returns its value in a run.
Row = Tuple[str, Callable[[RecordedRun], Optional[str]]]

#: Title, statistic, format and factor of the students' last validation.
_OF_STUDENTS = (
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
        'students, the same distance without the true class',
        'correlation_distance_non_target',
        '{:.4f}',
        1,
    ),
    (
        'students, agreement with the teacher where it is right (%)',
        'agreement_right',
        '{:.2f}',
        100,
    ),
    (
        'students, agreement with the teacher where it is wrong (%)',
        'agreement_wrong',
        '{:.2f}',
        100,
    ),
)


def compare(runs: Sequence[RecordedRun]) -> List[Tuple[str, List[str]]]:
    """Compare the numbers of runs.

    Args:
        runs (Sequence[RecordedRun]): The runs.

    Returns:
        List[Tuple[str, List[str]]]: For each row, its title and its value in
        every run as text, '' if a run has none. Rows without any value are
        omitted.
    """
    rows: List[Row] = [
        ('method', _method),
        ('validated so far', _progress),
        ('best student', _best_student),
        *_of_metrics(runs),
        *(
            (title, _mean(metric, text, factor))
            for title, metric, text, factor in _OF_STUDENTS
        ),
        *(
            (f'students, mean {metric}', _mean(metric, '{:.4g}', 1))
            for metric in other_metrics(runs)
        ),
        ('target, entropy softened (nats)', _last(TARGET, 'soft_entropy', '{:.3f}')),
        ('teacher, entropy softened (nats)', _last(TEACHER, 'soft_entropy', '{:.3f}')),
        ('students, agreement in pairs (%)', _last(COHORT, 'agreement', '{:.2f}', 100)),
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
            lambda run: (
                image_rate(run.images_per_second) if run.images_per_second else None
            ),
        ),
    ]
    table = [(title, [value(run) or '' for run in runs]) for title, value in rows]
    return [(title, values) for title, values in table if any(values)]


def config_differences(runs: Sequence[RecordedRun]) -> List[Tuple[str, List[str]]]:
    """Find the differences between the configs of runs.

    Args:
        runs (Sequence[RecordedRun]): The runs.

    Returns:
        List[Tuple[str, List[str]]]: For each row, the key and its value in
        every run, '' if a config has none. Keys that only describe the folder
        or the log are omitted.
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


def _progress(run: RecordedRun) -> Optional[str]:
    if not run.validation:
        return None
    last = run.validation[-1]['step']
    end = (run.config.get('train_cfg') or {}).get(
        'max_iters' if run.by_iteration else 'max_epochs', '?'
    )
    return f'{last} of {end} {run.unit}s'


def _best_student(run: RecordedRun) -> Optional[str]:
    if run.best is None:
        return None
    value = written(run.metric, run.best.value, 2)
    return f'{value} ({run.best.student}, {run.unit} {run.best.step})'


def _of_metrics(runs: Sequence[RecordedRun]) -> Iterator[Row]:
    """Yield the last values of students, ensembles and teachers in the metrics
    by which runs choose."""
    for metric in dict.fromkeys(run.metric for run in runs):
        unit = title_of(metric)
        digits = '{:.2f}' if written(metric, 0).endswith('%') else '{:.4g}'
        unit += ' (%)' if digits == '{:.2f}' else ''
        yield f'students, mean {unit}', _mean(metric, digits, 1)
        yield f'ensemble, {unit}', _last(ENSEMBLE, metric, digits)
        yield f'teacher, {unit}', _last(TEACHER, metric, digits)


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
