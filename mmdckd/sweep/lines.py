# Copyright (c) mmdckd contributors. All rights reserved.
"""Collect the results of each method for the lines of a table."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from .plan import Entry
from .results import Results, figure_of, has_metric
from .spec import Method, Spec


@dataclass
class Line:
    """A method with the records of its seeds.

    Attributes:
        method (Method): The method.
        metric (str): The metric of the sweep.
        records (Dict[int, Dict]): Seed to record, for seeds that have one.
        outdated (bool): Whether the config has changed since the records were
            made. Defaults to False.
    """

    method: Method
    metric: str
    records: Dict[int, Dict[str, Any]] = field(default_factory=dict)
    outdated: bool = False

    def values(
        self, figure: Optional[str] = None, stage: str = 'last'
    ) -> Dict[int, float]:
        """Return the figure on the test split for each seed.

        Args:
            figure (str, optional): The figure; see
                :func:`~mmdckd.sweep.spec.load_spec`. Defaults to None: the
                method's.
            stage (str): The epoch, 'last' or 'best'. Defaults to 'last'.

        Returns:
            Dict[int, float]: Seed to figure.
        """
        return {
            seed: figure_of(
                record, record[stage]['test'], self.metric, figure or self.method.figure
            )
            for seed, record in self.records.items()
            if record[stage]
        }

    def mean_of(self, key: str) -> Optional[float]:
        """Return the mean of an entry of the records over the seeds; None if a
        record lacks it."""
        values = [record[key] for record in self.records.values()]
        return None if None in values else sum(values) / len(values)

    @property
    def num_students(self) -> int:
        """int: The number of students in the cohort."""
        record = next(iter(self.records.values()))
        return max(1, len(record['students']))


def make_lines(spec: Spec, entries: Sequence[Entry], results: Results) -> List[Line]:
    """Collect the records of every method that has any.

    They are the records of the method's current config or, if there are none,
    those of the one that ran last; the line is then marked as outdated. Runs that
    were not tested by the metric of the sweep, which may have changed, do not count.

    Args:
        spec (Spec): The sweep.
        entries (Sequence[Entry]): The plan.
        results (Results): The results.

    Returns:
        List[Line]: One line for each method with a record, in order.
    """
    lines = []
    for method in spec.methods:
        own = [
            entry
            for entry in entries
            if entry.role == 'method'
            and (entry.pair, entry.name) == (method.pair, method.name)
        ]
        for outdated, find in ((False, results.find), (True, results.find_outdated)):
            found = {entry.seed: find(entry) for entry in own}
            records = {
                seed: record
                for seed, record in found.items()
                if record is not None and has_metric(record, spec.metric)
            }
            # With a teacher for each seed, each has a config of its own.
            if outdated and len({entry.run.fingerprint for entry in own}) == 1:
                records = _of_one_config(records, results)
            if records:
                lines.append(Line(method, spec.metric, records, outdated))
                break
    return lines


def _of_one_config(
    records: Dict[int, Dict[str, Any]], results: Results
) -> Dict[int, Dict[str, Any]]:
    """Return the records that have the config of the last one."""
    last = max(records.values(), key=results.records.index, default={})
    return {
        seed: record
        for seed, record in records.items()
        if record['fingerprint'] == last['fingerprint']
    }
