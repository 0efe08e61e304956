# Copyright (c) mmdckd contributors. All rights reserved.
"""Plot the results of a sweep."""

import os.path as osp
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mmdckd.io.files import file_stem, replacing

from .curve_plots import draw_curves, label_of
from .lines import Line
from .statistics import summarize


def draw_plots(lines: Sequence[Line], out: str) -> List[Tuple[str, str]]:
    """Draw all plots for which there are results.

    Args:
        lines (Sequence[Line]): The methods with their records.
        out (str): The folder to write to.

    Returns:
        List[Tuple[str, str]]: Title and file name of every plot.
    """
    pairs: Dict[str, List[Line]] = {}
    for line in lines:
        pairs.setdefault(line.method.pair, []).append(line)
    drawn = []
    taken: Set[str] = set()
    for kind, pair, title, figure in _figures(pairs):
        if figure is not None:
            title = title.format(metric=lines[0].metric)
            if pair:
                title = f'{pair}: {title}'
            name = '_'.join(filter(None, [kind, pair]))
            name = file_stem(name, taken) + '.png'
            figure.suptitle(label_of(title))
            with replacing(osp.join(out, name)) as path:
                figure.savefig(path, dpi=100, format='png')
            drawn.append((title, name))
    return drawn


def _figures(
    pairs: Mapping[str, Sequence[Line]],
) -> Iterator[Tuple[str, str, str, Optional[Figure]]]:
    """Draw one figure after another; yield its kind, pair and title too."""
    yield 'cost', '', KINDS['cost'][0], draw_map(pairs)
    for pair, own in pairs.items():
        for kind, (title, draw) in KINDS.items():
            yield kind, pair, title, draw(own)


def draw_accuracy(lines: Sequence[Line]) -> Figure:
    """Draw every method's seeds, their mean and its 95 % interval."""
    figure = Figure((8, 1.2 + 0.4 * len(lines)), layout='constrained')
    axes = figure.subplots()
    for row, line in enumerate(lines):
        values = list(line.values().values())
        summary = summarize(values)
        axes.plot(values, [row] * len(values), '.', color='0.6')
        axes.errorbar(summary.mean, row, xerr=summary.margin, fmt='o', capsize=4)
    axes.set_yticks(range(len(lines)), [label_of(line.method.name) for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel(f'{lines[0].metric}, {_shown(lines)}')
    axes.grid(axis='x', alpha=0.3)
    return figure


def draw_students(lines: Sequence[Line]) -> Optional[Figure]:
    """Draw accuracy against the number of students for each group with several
    numbers; return None if there is no such group."""
    groups = {
        name: members
        for name, members in _groups(lines).items()
        if len({line.num_students for line in members}) > 1
    }
    if not groups:
        return None
    figure = Figure((8, 5), layout='constrained')
    axes = figure.subplots()
    for name, style in _styles(groups).items():
        _draw_line(
            axes, name, style, [(line.num_students, line) for line in groups[name]]
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel('students')
    _finish(axes, lines)
    axes.legend()
    return figure


def draw_cost(lines: Sequence[Line]) -> Figure:
    """Draw accuracy against the operations and, if measured, the wall time of
    the training."""
    panels = [('train_flops', 1e12, 'TFLOPs of the training')]
    if any(line.mean_of('train_seconds') for line in lines):
        panels.append(('train_seconds', 1, 'seconds of the training'))
    figure = Figure((5 * len(panels) + 2, 5), layout='constrained')
    styles = _styles(_all_groups(lines))
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        _draw_costs(axes, lines, styles, *panel)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc='outside right upper'
    )
    return figure


def draw_map(pairs: Mapping[str, Sequence[Line]]) -> Optional[Figure]:
    """Draw accuracy against the operations of the training, with a panel for each
    pair; return None if there is one pair, or no group.

    Args:
        pairs (Dict[str, Sequence[Line]]): Pair to its methods.
    """
    together = [line for own in pairs.values() for line in own]
    if len(pairs) < 2 or not _groups(together):
        return None
    styles = _styles(_all_groups(together))
    columns = 2 if len(pairs) == 4 else min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = Figure((4 * columns + 2, 3.6 * rows), layout='constrained')
    places = figure.subplots(rows, columns, squeeze=False).flatten()
    handles: Dict[str, Any] = {}
    for axes, (pair, own) in zip(places, pairs.items()):
        _draw_costs(axes, own, styles, 'train_flops', 1e12, 'TFLOPs')
        axes.set_title(label_of(pair), fontsize='medium')
        handles.update(zip(*reversed(axes.get_legend_handles_labels())))
    for axes in places[len(pairs) :]:
        axes.set_axis_off()
    names = [label_of(name) for name in styles if label_of(name) in handles]
    figure.legend([handles[name] for name in names], names, loc='outside right upper')
    return figure


def _draw_costs(
    axes: Axes,
    lines: Sequence[Line],
    styles: Mapping[str, Dict[str, Any]],
    key: str,
    unit: float,
    label: str,
) -> None:
    grouped = _all_groups(lines)
    for name, style in styles.items():
        costs = [(line.mean_of(key), line) for line in grouped.get(name, ())]
        points = [(cost / unit, line) for cost, line in costs if cost]
        if points:
            _draw_line(axes, name, style, points)
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter('{x:g}')
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f'{label}, log scale')
    _finish(axes, lines)


def _all_groups(lines: Sequence[Line]) -> Dict[str, List[Line]]:
    """Return the groups; a method without one is its own, or belongs to that of its
    name."""
    groups = _groups(lines)
    for line in lines:
        if not line.method.group:
            groups.setdefault(line.method.name, []).append(line)
    return groups


def _groups(lines: Sequence[Line]) -> Dict[str, List[Line]]:
    groups: Dict[str, List[Line]] = {}
    for line in lines:
        if line.method.group:
            groups.setdefault(line.method.group, []).append(line)
    return groups


def _styles(names: Iterable[str]) -> Dict[str, Dict[str, Any]]:
    """Choose a color and a marker for each name: neighbors differ in both, so that
    they are distinct in gray and for people with color blindness."""
    return {
        name: dict(color=f'C{i % 10}', marker='os^vDP'[(i + i // 10) % 6])
        for i, name in enumerate(names)
    }


def _draw_line(
    axes: Axes, name: str, style: Dict[str, Any], points: List[Tuple[float, Line]]
) -> None:
    points = sorted(points, key=lambda point: point[0])
    summaries = [summarize(list(line.values().values())) for _, line in points]
    axes.errorbar(
        [x for x, _ in points],
        [s.mean for s in summaries],
        yerr=[s.margin for s in summaries],
        **style,
        capsize=4,
        label=label_of(name),
    )


def _shown(lines: Sequence[Line]) -> str:
    """Return what is shown of each method: a single run has no interval."""
    several = any(len(line.records) > 1 for line in lines)
    return 'mean and 95 % interval' if several else 'one run each'


def _finish(axes: Axes, lines: Sequence[Line]) -> None:
    axes.set_ylabel(f'{lines[0].metric}, {_shown(lines)}')
    axes.grid(alpha=0.3)


#: File of a plot to its title and the function that draws it.
KINDS = dict(
    accuracy=('{metric} by method', draw_accuracy),
    students=('{metric} by number of students', draw_students),
    cost=('{metric} by cost of the training', draw_cost),
    curves=('{metric} and statistics of the validations by epoch', draw_curves),
)
