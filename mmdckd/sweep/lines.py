# Copyright (c) mmdckd contributors. All rights reserved.
"""The lines of a table: each method with what came out of its runs."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from .plan import Entry
from .results import Results, figure_of
from .spec import Method, Spec


@dataclass
class Line:
    """A method with the records of its seeds.

    Attributes:
        method (Method): The method.
        metric (str): The metric of the sweep.
        records (Dict[int, Dict]): Seed to record; only seeds that have one.
        outdated (bool): Whether the records are of a config that has changed
            since. Defaults to False.
    """

    method: Method
    metric: str
    records: Dict[int, Dict[str, Any]] = field(default_factory=dict)
    outdated: bool = False

    def values(
        self, figure: Optional[str] = None, stage: str = 'last'
    ) -> Dict[int, float]:
        """Seed to figure on the test split.

        Args:
            figure (str, optional): Which figure. Defaults to None, the one
                that counts.
            stage (str): 'last' or 'best'. Defaults to 'last'.
        """
        return {
            seed: figure_of(
                record, record[stage]['test'], self.metric, figure or self.method.figure
            )
            for seed, record in self.records.items()
            if record[stage]
        }

    def mean_of(self, key: str) -> Optional[float]:
        """The mean over the seeds of an entry of the records; None where one
        lacks it."""
        values = [record[key] for record in self.records.values()]
        return None if None in values else sum(values) / len(values)

    @property
    def num_students(self) -> int:
        """int: How many students learn together."""
        record = next(iter(self.records.values()))
        return max(1, len(record['students']))


def make_lines(spec: Spec, entries: Sequence[Entry], results: Results) -> List[Line]:
    """Gather the records of every method that has any.

    A method has the records of its present config or, where there is none of
    these, those of a former one and is marked outdated.

    Args:
        spec (Spec): What is compared.
        entries (Sequence[Entry]): The plan.
        results (Results): What came out.

    Returns:
        List[Line]: One for each method that has a record, in their order.
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
            records = {s: r for s, r in found.items() if r is not None}
            if records:
                lines.append(Line(method, spec.metric, records, outdated))
                break
    return lines
