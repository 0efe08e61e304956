# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os
from typing import Dict, Union

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, StrMethodFormatter

#: The colours of Okabe and Ito (https://jfly.uni-koeln.de/color/), which
#: people with colour blindness tell apart too.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
MARKERS = 'os^Dvp'
TICKS = (0, 20, 40, 60, 70, 80, 85, 90, 93, 95, 97, 98, 99, 100)

Curves = Dict[str, Dict[int, float]]


def read_curves(scalars: Union[str, os.PathLike],
                metric: str = 'accuracy/top1') -> Curves:
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
    curves: Curves = {}
    with open(scalars, encoding='utf-8') as file:
        for line in file:
            if not line.endswith('\n'):
                break  # the run is writing it
            record = json.loads(line)
            for key, value in record.items():
                if f'/{key}'.endswith(f'/{metric}'):
                    member = key[:-len(metric) - 1] or 'model'
                    curves.setdefault(member, {})[record['step']] = value
    return curves


def draw_curves(curves: Curves, path: Union[str, os.PathLike],
                title: str) -> None:
    """Draw the accuracy of every student by epoch, and the teacher's line.

    Students differ by colour and by marker, so that a print in grey serves
    too. The last value of each stands in the legend, and a ring is around
    the best student's best epoch, the one that ``save_best`` keeps. The axis
    widens towards 100 %, as the square root of the error does.

    Args:
        curves (Dict[str, Dict[int, float]]): What :func:`read_curves`
            returns; values in per cent.
        path (str | PathLike): The image to write; its ending is its format.
        title (str): What stands above.

    Raises:
        ValueError: If there is no student among the members.
    """
    students = [m for m in curves if m not in ('teacher', 'ensemble', 'best')]
    if not students:
        raise ValueError('There is no student to draw: the run has validated '
                         f'{sorted(curves) or "nothing"}.')
    figure = Figure(figsize=(9, 5), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if 'teacher' in curves:
        value = list(curves['teacher'].values())[-1]
        axes.axhline(
            value,
            label=f'teacher  {value:.2f} %',
            color='black',
            linestyle='--',
            linewidth=1.6)
    if 'ensemble' in curves:
        epochs, values = zip(*sorted(curves['ensemble'].items()))
        axes.plot(
            epochs,
            values,
            label=f'ensemble  {values[-1]:.2f} %',
            color='0.5',
            linestyle=':',
            linewidth=2)
    for index, name in enumerate(students):
        epochs, values = zip(*sorted(curves[name].items()))
        axes.plot(
            epochs,
            values,
            label=f'{name}  {values[-1]:.2f} %',
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markevery=_spaced(len(epochs), index, len(students)),
            markersize=5,
            linewidth=1.4)
    _ring_best(axes, {name: curves[name] for name in students})
    _widen_towards_100(axes, curves)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(
        title=title, xlabel='epoch', ylabel='top-1 accuracy in validation (%)')
    axes.grid(color='0.9')
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(
        title='last epoch',
        loc='outside right upper',
        alignment='left',
        frameon=False)
    figure.savefig(path)


def _spaced(count: int, index: int, students: int) -> slice:
    """About eight markers a curve, not all curves' at the same epochs."""
    stride = max(1, count // 8)
    return slice(index * stride // students, None, stride)


def _ring_best(axes, students: Curves) -> None:
    epochs = sorted({epoch for curve in students.values() for epoch in curve})
    # The first of equal ones, as `save_best` has it.
    value, epoch, name = max(
        ((curve[epoch], epoch, name) for epoch in epochs
         for name, curve in students.items() if epoch in curve),
        key=lambda candidate: candidate[0])
    axes.plot(
        epoch,
        value,
        label=f'best: {name},\nepoch {epoch}  {value:.2f} %',
        linestyle='none',
        marker='o',
        markersize=12,
        markerfacecolor='none',
        markeredgecolor='black')


def _widen_towards_100(axes, curves: Curves) -> None:
    axes.set_yscale(
        'function',
        functions=(lambda value: -np.sqrt(np.maximum(100 - value, 0)),
                   lambda scaled: 100 - scaled**2))
    values = [value for curve in curves.values() for value in curve.values()]
    # Some room above, to a line of the grid.
    highest = max(values) + (100 - max(values)) / 4
    axes.set_ylim(
        max(min(values) - 5, 0),
        next(tick for tick in TICKS if tick >= highest))
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_major_formatter(StrMethodFormatter('{x:.0f}'))
