# Copyright (c) mmdckd contributors. All rights reserved.
"""Store the results of runs, one JSON object a line.

================ ===========================================================
key              meaning
================ ===========================================================
benchmark        the name of the sweep
role             'method', or 'teacher' for a teacher of students
pair, name, seed the pair ('' if there is only one), the method's or teacher's
                 name, and the seed
fingerprint      of the config and the teacher; results with another one are
                 outdated
students         the names of the students of a cohort; [] for another model
last             the last epoch: its number ``epoch``, and all metrics of the
                 validation after it (``val``) and of the test (``test``); in a
                 run by iterations, an epoch is a pass over the training data
best             the same for the epoch that was best in validation, by its
                 best student; null without validation
curves           the metrics of all validations, by name, and their ``epoch``;
                 null for teachers and methods of a group, which are not
                 drawn by epoch, and if there are more than fit into a line of
                 1 MiB; missing in lines of earlier versions
parameters       the number of parameters of the first student
train_seconds    wall time of the training with its validations; null for a
                 resumed run
train_flops      floating-point operations of the training: those of its first
                 step times the number of steps; null if it was killed before
                 they were noted
test_is_val      whether validation and test use the same images, so that the
                 best epoch was chosen on the test images
device, threads  'cpu' or the name of the GPU, and the number of CPU threads
resumed          whether it was interrupted and resumed
versions, commit of the packages, and of this repository
================ ===========================================================
"""

import csv
import io
import json
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmdckd.errors import invalid
from mmdckd.io.data import LONGEST_LINE, is_number, read_json, read_lines
from mmdckd.names import metric_name

from .files import append_line
from .plan import Entry
from .spec import FIGURES, Spec

_NOTHING = type(None)
_SCHEMA: Dict[str, Tuple[type, ...]] = dict(
    benchmark=(str,),
    role=(str,),
    pair=(str,),
    name=(str,),
    seed=(int,),
    fingerprint=(str,),
    students=(list,),
    last=(dict,),
    best=(dict, _NOTHING),
    curves=(dict, _NOTHING),
    parameters=(int, float, _NOTHING),
    train_seconds=(int, float, _NOTHING),
    train_flops=(int, float, _NOTHING),
    test_is_val=(bool,),
    device=(str,),
    threads=(int,),
    resumed=(bool,),
    versions=(dict,),
    commit=(str,),
)


class Results:
    """The lines of a result file.

    Lines are only added, never changed. An incomplete last line, left by a
    killed process, is ignored.

    Args:
        path (str): The file; it need not exist.

    Raises:
        ValueError: If a complete line is not JSON or not a result; the message
            names the file and the line.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.records: List[Dict[str, Any]] = []
        if not osp.isfile(path):
            return
        for where, record in read_lines(path):
            for key, kinds in _SCHEMA.items():
                if not isinstance(record.get(key), kinds):
                    raise ValueError(
                        f'Invalid {where}: expected a result whose `{key}` is '
                        f'{" or ".join(kind.__name__ for kind in kinds)}, got '
                        f'{type(record.get(key)).__name__}.'
                    )
            for stage in ('last', 'best'):
                _check_epoch(record[stage], f'{where}, `{stage}`')
            if not all(isinstance(name, str) for name in record['students']):
                raise ValueError(
                    f'Invalid {where}: expected a result whose `students` are names.'
                )
            self.records.append(record)

    def find(self, entry: Entry) -> Optional[Dict[str, Any]]:
        """Return the last record of an entry's current config, or None."""
        for record in reversed(self.records):
            if (
                _key(record) == entry.key
                and record['fingerprint'] == entry.run.fingerprint
            ):
                return record
        return None

    def find_outdated(self, entry: Entry) -> Optional[Dict[str, Any]]:
        """Return the last record of an entry, of any config, or None."""
        for record in reversed(self.records):
            if _key(record) == entry.key:
                return record
        return None

    def add(self, spec: Spec, entry: Entry) -> None:
        """Add the result of an entry whose run is finished.

        Raises:
            OSError: If the line cannot be written.
            ValueError: If the result is not JSON, or lacks the metric of the sweep.
        """
        result = read_json(entry.run.result_file)
        for stage in filter(None, (result['last'], result['best'])):
            figure_of(result, stage['test'], spec.metric, 'mean')
        if not entry.keep_curves:
            result['curves'] = None
        role, pair, name, seed = entry.key
        record = dict(
            benchmark=spec.name,
            role=role,
            pair=pair,
            name=name,
            seed=seed,
            fingerprint=entry.run.fingerprint,
            **result,
        )
        if len(json.dumps(record)) >= LONGEST_LINE:  # with too many validations
            record['curves'] = None
        append_line(self.path, json.dumps(record))
        self.records.append(record)


def _check_epoch(epoch: Any, where: str) -> None:
    """Check that a value has the form of an epoch's metrics."""
    if epoch is None:
        return
    val = epoch.get('val')
    stages = [{} if val is None else val, epoch.get('test')]
    if not isinstance(epoch.get('epoch'), (int, type(None))) or not all(
        isinstance(stage, dict) and all(map(is_number, stage.values()))
        for stage in stages
    ):
        raise ValueError(
            f'Invalid {where}: expected a result with a whole `epoch`, and numbers '
            'by name under `val` and `test`.'
        )


def _key(record: Dict[str, Any]):
    return record['role'], record['pair'], record['name'], record['seed']


def figure_of(
    record: Dict[str, Any], metrics: Dict[str, float], metric: str, figure: str
) -> float:
    """Reduce the metrics of a run's students to one figure.

    Args:
        record (Dict[str, Any]): The run's record, which names its students.
        metrics (Dict[str, float]): The metrics of one of its evaluations.
        metric (str): The metric.
        figure (str): 'mean', 'first', 'best' or 'ensemble'; see
            :func:`~mmdckd.sweep.spec.load_spec`. They are all the same for a
            single student.

    Returns:
        float: The figure.

    Raises:
        ValueError: If the metric does not exist.
    """
    keys = keys_of(record, metric, figure)
    for key in keys:
        if key not in metrics:
            raise invalid('metric', f'one of {sorted(metrics)}', key)
    return sum(metrics[key] for key in keys) / len(keys)


def has_metric(record: Dict[str, Any], metric: str) -> bool:
    """Tell whether a run was tested by a metric.

    Args:
        record (Dict[str, Any]): The run's record.
        metric (str): The metric.

    Returns:
        bool: Whether each of its figures can be computed.
    """
    return all(
        key in epoch['test']
        for epoch in (record['last'], record['best'])
        if epoch
        for figure in FIGURES
        for key in keys_of(record, metric, figure)
    )


def keys_of(record: Dict[str, Any], metric: str, figure: str) -> List[str]:
    """List the metrics whose mean is the figure of a run.

    Args:
        record (Dict[str, Any]): The run's record.
        metric (str): The metric.
        figure (str): See :func:`figure_of`.

    Returns:
        List[str]: The names of the metrics.
    """
    students = record['students']
    if not students:
        return [metric]
    if figure == 'mean':
        return [metric_name(name, metric) for name in students]
    if figure == 'first' or len(students) == 1:
        return [metric_name(students[0], metric)]
    return [metric_name(figure, metric)]


def to_csv(records: Sequence[Dict[str, Any]], metric: str) -> str:
    """Write records as comma-separated values for other programs.

    Args:
        records (Sequence[Dict[str, Any]]): The records.
        metric (str): The metric of the sweep. A figure of an evaluation without it
            is empty.

    Returns:
        str: The names of the columns, then one line a run.
    """
    rows = []
    for record in records:
        row = {
            key: record[key] for key in ('benchmark', 'role', 'pair', 'name', 'seed')
        }
        row['students'] = max(1, len(record['students']))
        for stage in ('last', 'best'):
            epoch = record[stage]
            row[f'{stage}_epoch'] = epoch and epoch['epoch']
            for split in ('val', 'test'):
                metrics = (epoch and epoch[split]) or {}
                for figure in FIGURES:
                    keys = keys_of(record, metric, figure)
                    row[f'{stage}_{split}_{figure}'] = (
                        figure_of(record, metrics, metric, figure)
                        if all(key in metrics for key in keys)
                        else None
                    )
        for key in (
            'parameters',
            'train_seconds',
            'train_flops',
            'device',
            'threads',
            'resumed',
            'commit',
            'fingerprint',
        ):
            row[key] = record[key]
        rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
