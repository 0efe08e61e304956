# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare the statistics of validations, such as entropy and calibration.

The statistics are those of :class:`~mmdckd.evaluation.CohortSums` and
:class:`~mmdckd.evaluation.PredictionSums`, recorded by
:class:`~mmdckd.engine.hooks.CohortStatisticsHook`.
"""

from typing import Any, Dict, List, Optional

from mmdckd.names import COHORT, TARGET, metric_name, metric_of

from .lines import Line
from .markdown import plain, spread, table
from .results import keys_of
from .statistics import summarize

#: Title to a statistic of the members that the method's figure selects; with a
#: ``/``, of the member before it, or of all together.
CALIBRATION = {
    'Entropy': 'entropy',
    'Soft entropy': 'soft_entropy',
    'Soft entropy of the target': metric_name(TARGET, 'soft_entropy'),
    'ECE': 'ece',
    'NLL': 'nll',
    'Brier': 'brier',
}
AGREEMENT = {
    "Distance to the teacher's class correlation": 'correlation_distance',
    'Agreement where the teacher is right': 'agreement_right',
    'Agreement where the teacher is wrong': 'agreement_wrong',
    'Agreement of two students': metric_name(COHORT, 'agreement'),
}
STATISTICS = {**CALIBRATION, **AGREEMENT}

#: A table each: what it explains, and its columns.
TABLES = (
    (
        'Statistics of the last validation. Entropy and NLL are in nats; soft '
        'entropies use predictions softened with a temperature of 4. A cell is '
        'empty if there is no teacher, no target or no peer.',
        CALIBRATION,
    ),
    (
        'The distance is the total variation distance between the mean prediction '
        "for a class and the teacher's, at a temperature of 4. Agreement is the "
        'share of images with the same top-1 prediction: as the teacher, on the '
        'images that it classifies correctly and on the others, and of two '
        'students. `python tools/report.py FOLDER` draws the class correlations '
        'of a run (`FOLDER` is its `train/`).',
        AGREEMENT,
    ),
)


def learned_tables(lines: List[Line]) -> str:
    """Write the statistics after the last epoch as tables, one row a method.

    Args:
        lines (List[Line]): The methods with their records.

    Returns:
        str: Markdown; empty if no run has recorded statistics.
    """
    tables = [(text, _table(lines, columns)) for text, columns in TABLES]
    return '\n\n'.join(f'{text}\n\n{rows}' for text, rows in tables if rows)


def _table(lines: List[Line], columns: Dict[str, str]) -> str:
    rows = [['Method', *columns]]
    for line in lines:
        values = [last_values(line, key) for key in columns.values()]
        if any(values):
            rows.append(
                [plain(line.method.name)]
                + [spread(summarize(each), digits=3) if each else '' for each in values]
            )
    return table(rows) if len(rows) > 1 else ''


def last_values(line: Line, key: str) -> List[float]:
    """Return a statistic of the last validation, one value a seed.

    Args:
        line (Line): A method with its records.
        key (str): The statistic.

    Returns:
        List[float]: The values of the seeds that have the statistic.
    """
    values = [
        value_of(line, record, record['last']['val'], key)
        for record in line.records.values()
    ]
    return [value for value in values if value is not None]


def curve(line: Line, key: str) -> Dict[float, float]:
    """Return a statistic by epoch.

    Args:
        line (Line): A method with its records.
        key (str): The statistic, or the metric.

    Returns:
        Dict[float, float]: Epoch to the mean over the seeds that have it.
    """
    values: Dict[float, List[float]] = {}
    for record in line.records.values():
        curves = record.get('curves') or dict(epoch=[])
        for i, epoch in enumerate(curves['epoch']):
            metrics = {
                name: column[i]
                for name, column in curves.items()
                if column[i] is not None
            }
            value = value_of(line, record, metrics, key)
            if value is not None:
                values.setdefault(epoch, []).append(value)
    return {epoch: sum(each) / len(each) for epoch, each in sorted(values.items())}


def value_of(
    line: Line, record: Dict[str, Any], metrics: Dict[str, float], key: str
) -> Optional[float]:
    """Return a statistic of one validation of a run, or None."""
    if any(metric_of(key, member) for member in (TARGET, COHORT)):
        return metrics.get(key)
    # The best student differs between validations.
    figure = line.method.figure
    figure = 'mean' if figure == 'best' else figure
    keys = keys_of(record, key, figure)
    if not all(each in metrics for each in keys):
        return None
    return sum(metrics[each] for each in keys) / len(keys)
