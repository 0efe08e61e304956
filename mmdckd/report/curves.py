# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

from mmdckd import names
from mmdckd.io.data import is_number, read_lines
from mmdckd.io.files import replacing
from mmdckd.visualization.style import line_style, new_figure, tidy

#: The metric that a report is about.
ACCURACY = 'accuracy/top1'
TICKS = (0, 20, 40, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 100)

Curves = Dict[str, Dict[int, float]]


def read_curves(scalars: Union[str, os.PathLike], metric: str = ACCURACY) -> Curves:
    """Read how every member of a cohort did in each validation of a run.

    Args:
        scalars (str | PathLike): Path of the ``scalars.json`` that MMEngine
            writes into ``<work_dir>/<time>/vis_data``.
        metric (str): The name of the metric. Defaults to
            ``'accuracy/top1'``.

    Returns:
        Dict[str, Dict[int, float]]: Member to step (the epoch, in a run by
        epoch) to value. The members are the students, ``ensemble``, ``best``
        and ``teacher``, as far as the run has them, or ``model``, where it
        trains a single one.
    """
    return curves_of(read_records(scalars), metric)


def read_records(scalars: Union[str, os.PathLike]) -> Iterator[Dict[str, Any]]:
    """Read what a run has logged, as far as it has.

    Args:
        scalars (str | PathLike): Path of a ``scalars.json``.

    Yields:
        Dict[str, Any]: Name to value, and ``step``.

    Raises:
        ValueError: If a line is anything but an object of numbers with a
            whole ``step``; the message names the file and the line.
    """
    for where, record in read_lines(os.fspath(scalars)):
        if not (
            isinstance(record.get('step'), int) and all(map(is_number, record.values()))
        ):
            raise ValueError(
                f'{where} is no record of a run: expected '
                'numbers by name, and a whole `step`.'
            )
        yield record


def curves_of(records: Iterable[Dict[str, Any]], metric: str) -> Curves:
    """Find the curve of every member.

    Args:
        records (Iterable[Dict[str, Any]]): What :func:`read_records` yields.
        metric (str): The name of the metric.

    Returns:
        Dict[str, Dict[int, float]]: As of :func:`read_curves`.
    """
    curves: Curves = {}
    for record in records:
        for key, value in record.items():
            member = names.member_of(key, metric)
            if member is not None:
                curves.setdefault(member, {})[record['step']] = value
    return curves


def draw_curves(curves: Curves, path: Union[str, os.PathLike], title: str) -> None:
    """Write the figure of :func:`accuracy_figure` to a file.

    Args:
        curves (Dict[str, Dict[int, float]]): What :func:`read_curves`
            returns; values in per cent.
        path (str | PathLike): The image to write; its ending is its format.
        title (str): What stands above.

    Raises:
        ValueError: If there is no student among the members.
    """
    with replacing(str(path)) as beside:
        kind = osp.splitext(path)[1][1:]
        accuracy_figure(curves, title).savefig(beside, format=kind)


def accuracy_figure(
    curves: Curves, title: str = '', limits: Optional[Tuple[float, float]] = None
) -> Figure:
    """Draw the accuracy of every student by epoch, and the teacher's line.

    Members look as in :func:`~.style.line_style`. The last value of each
    stands in the legend, and a ring is around the best student's best epoch,
    the one that ``save_best`` keeps. The axis widens towards 100 %, as the
    square root of the error does.

    Args:
        curves (Dict[str, Dict[int, float]]): What :func:`read_curves`
            returns; values in per cent.
        title (str): What stands above. Defaults to ''.
        limits (Tuple[float, float], optional): The lowest and the highest
            value to make room for. Defaults to None, those of the curves.

    Raises:
        ValueError: If there is no student among the members.
    """
    students = students_of(curves)
    if not students:
        raise ValueError(
            'There is no student to draw: the run has validated '
            f'{sorted(curves) or "nothing"}.'
        )
    figure = new_figure(9, 5)
    axes = figure.add_subplot()
    members = [name for name in curves if name not in (*students, names.BEST)]
    for name in (*sorted(members, reverse=True), *students):
        epochs, values = zip(*sorted(curves[name].items()))
        label = f'{name}  {values[-1]:.2f} %'
        style = line_style(name, students)
        if name in students:
            index = students.index(name)
            style['markevery'] = spaced(len(epochs), index, len(students))
        if names.role_of(name) == names.TEACHER and len(set(values)) == 1:
            axes.axhline(values[-1], label=label, **style)
        else:
            axes.plot(epochs, values, label=label, **style)
    _ring_best(axes, {name: curves[name] for name in students})
    accuracies = [each for curve in curves.values() for each in curve.values()]
    _widen_towards_100(axes, *(limits or (min(accuracies), max(accuracies))))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=title, xlabel='epoch', ylabel='top-1 accuracy in validation (%)')
    tidy(axes)
    figure.legend(
        title='last epoch', loc='outside right upper', alignment='left', frameon=False
    )
    return figure


def students_of(curves: Curves) -> list:
    """The names of the students among the members of some curves."""
    return names.of_role(curves, names.STUDENT)


def spaced(count: int, index: int, students: int) -> slice:
    """About eight markers a curve, not all curves' at the same epochs."""
    stride = max(1, count // 8)
    return slice(index * stride // students, None, stride)


def _ring_best(axes: Axes, students: Curves) -> None:
    epochs = sorted({epoch for curve in students.values() for epoch in curve})
    # The first of equal ones, as `save_best` has it.
    value, epoch, name = max(
        (
            (curve[epoch], epoch, name)
            for epoch in epochs
            for name, curve in students.items()
            if epoch in curve
        ),
        key=lambda candidate: candidate[0],
    )
    axes.plot(
        epoch,
        value,
        label=f'best: {name},\nepoch {epoch}  {value:.2f} %',
        linestyle='none',
        marker='o',
        markersize=12,
        markerfacecolor='none',
        markeredgecolor='black',
    )


def _widen_towards_100(axes: Axes, lowest: float, highest: float) -> None:
    axes.set_yscale(
        'function',
        functions=(
            lambda value: -np.sqrt(np.maximum(100 - value, 0)),
            lambda scaled: 100 - scaled**2,
        ),
    )
    # Some room above, to a line of the grid.
    highest += (100 - highest) / 4
    axes.set_ylim(max(lowest - 5, 0), next(tick for tick in TICKS if tick >= highest))
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_major_formatter(StrMethodFormatter('{x:.0f}'))
