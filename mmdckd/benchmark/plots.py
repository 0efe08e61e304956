# Copyright (c) mmdckd contributors. All rights reserved.
"""The results of a benchmark as plots."""
import os.path as osp
import re
from typing import Dict, List, Optional, Sequence, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .curve_plots import draw_curves
from .lines import Line
from .statistics import summarize


def draw_plots(lines: Sequence[Line], out: str) -> List[Tuple[str, str]]:
    """Draw all plots that the results have what is needed for.

    Args:
        lines (Sequence[Line]): The methods with their records.
        out (str): The folder to write to.

    Returns:
        List[Tuple[str, str]]: Title and name of every file.
    """
    pairs: Dict[str, List[Line]] = {}
    for line in lines:
        pairs.setdefault(line.method.pair, []).append(line)
    drawn = []
    for pair, own in pairs.items():
        for kind, (text, draw) in KINDS.items():
            title = text.format(metric=own[0].metric)
            if pair:
                title = f'{pair}: {title}'
            figure = draw(own)
            if figure is not None:
                name = '_'.join(filter(None, [kind, pair]))
                name = re.sub(r'[^\w.-]+', '_', name) + '.png'
                figure.suptitle(title)
                figure.savefig(osp.join(out, name), dpi=100)
                drawn.append((title, name))
    return drawn


def draw_accuracy(lines: Sequence[Line]) -> Figure:
    """Every method's seeds, their mean and its 95 % interval."""
    figure = Figure((8, 1.2 + 0.4 * len(lines)), layout='constrained')
    axes = figure.subplots()
    for row, line in enumerate(lines):
        values = list(line.values().values())
        summary = summarize(values)
        axes.plot(values, [row] * len(values), '.', color='0.6')
        axes.errorbar(
            summary.mean, row, xerr=_margin(summary), fmt='o', capsize=4)
    axes.set_yticks(range(len(lines)), [line.method.name for line in lines])
    axes.invert_yaxis()
    axes.set_xlabel(f'{lines[0].metric}: seeds, mean and 95 % interval')
    axes.margins(y=0.15)
    axes.grid(axis='x', alpha=0.3)
    return figure


def draw_students(lines: Sequence[Line]) -> Optional[Figure]:
    """Accuracy against the number of students, for each group that has
    several numbers; None where there is no such group."""
    groups = {
        name: members
        for name, members in _groups(lines).items()
        if len({line.num_students
                for line in members}) > 1
    }
    if not groups:
        return None
    figure = Figure((8, 5), layout='constrained')
    axes = figure.subplots()
    for name, members in groups.items():
        _draw_line(axes, name, [(line.num_students, line) for line in members])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel('students')
    _finish(axes, lines)
    return figure


def draw_cost(lines: Sequence[Line]) -> Figure:
    """Accuracy against operations and, where it was measured, against wall
    time of the training."""
    panels = [('train_flops', 1e12, 'TFLOPs of the training')]
    timed = [line for line in lines if line.mean_of('train_seconds')]
    if timed:
        panels.append(('train_seconds', 1, 'seconds of the training'))
    figure = Figure((6 * len(panels), 5), layout='constrained')
    for axes, (key, unit, label) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels):
        own = timed if key == 'train_seconds' else lines
        grouped = _groups(own)
        for line in own:
            if not line.method.group:
                grouped[line.method.name] = [line]
        for name, members in grouped.items():
            _draw_line(axes, name,
                       [(line.mean_of(key) / unit, line) for line in members])
        axes.set_xscale('log')
        axes.set_xlabel(label)
        _finish(axes, lines)
    return figure


def _groups(lines: Sequence[Line]) -> Dict[str, List[Line]]:
    groups: Dict[str, List[Line]] = {}
    for line in lines:
        if line.method.group:
            groups.setdefault(line.method.group, []).append(line)
    return groups


def _draw_line(axes: Axes, name: str, points: List[Tuple[float,
                                                         Line]]) -> None:
    points = sorted(points, key=lambda point: point[0])
    summaries = [summarize(list(line.values().values())) for _, line in points]
    # There are ten colours.
    marker = 'os^v'[len(axes.containers) // 10 % 4]
    axes.errorbar([x for x, _ in points], [s.mean for s in summaries],
                  yerr=[_margin(s) for s in summaries],
                  fmt=f'{marker}-',
                  capsize=4,
                  label=name)


def _margin(summary) -> float:
    """A single run has no interval."""
    return summary.margin if summary.count > 1 else 0.


def _finish(axes: Axes, lines: Sequence[Line]) -> None:
    axes.set_ylabel(f'{lines[0].metric}, mean and 95 % interval')
    axes.grid(alpha=0.3)
    axes.legend()


#: File of a plot to its title and what draws it.
KINDS = dict(
    accuracy=('{metric} by method', draw_accuracy),
    students=('{metric} by number of students', draw_students),
    cost=('{metric} by cost of the training', draw_cost),
    curves=('{metric} and statistics of the validations by epoch',
            draw_curves))
