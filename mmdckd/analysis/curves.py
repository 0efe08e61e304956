# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os
from typing import Dict, Union

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: The colours of Okabe and Ito (https://jfly.uni-koeln.de/color/), which
#: people with colour blindness tell apart too.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
MARKERS = 'os^Dv*'

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
        and ``teacher``, as far as the run has them.
    """
    curves: Curves = {}
    with open(scalars, encoding='utf-8') as file:
        for line in file:
            record = json.loads(line)
            for key, value in record.items():
                member, _, name = key.partition('/')
                if name == metric:
                    curves.setdefault(member, {})[record['step']] = value
    return curves


def draw_curves(curves: Curves, path: Union[str, os.PathLike],
                title: str) -> None:
    """Draw the accuracy of every student by epoch, and the teacher's line.

    Students differ by colour and by marker, so that a print in grey serves
    too; the last value of each stands in the legend.

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
    figure = Figure(figsize=(8, 5), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, name in enumerate(students):
        epochs, values = zip(*sorted(curves[name].items()))
        axes.plot(
            epochs,
            values,
            label=f'{name}  {values[-1]:.2f} %',
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markevery=_spaced(len(epochs), index, len(students)),
            markersize=6,
            linewidth=1.4)
    if 'ensemble' in curves:
        epochs, values = zip(*sorted(curves['ensemble'].items()))
        axes.plot(
            epochs,
            values,
            label=f'ensemble  {values[-1]:.2f} %',
            color='0.45',
            linestyle=':',
            linewidth=2)
    if 'teacher' in curves:
        value = list(curves['teacher'].values())[-1]
        axes.axhline(
            value,
            label=f'teacher  {value:.2f} %',
            color='black',
            linestyle='--',
            linewidth=1.6)
    axes.set_ylim(*_limits(curves))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=title, xlabel='epoch', ylabel='top-1 accuracy (%)')
    axes.grid(color='0.9')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(loc='lower right', frameon=False)
    figure.savefig(path)


def _spaced(count: int, index: int, students: int) -> slice:
    """About ten markers a curve, no two curves marked at the same epochs."""
    stride = max(1, count // 10)
    return slice(index * stride // students, None, stride)


def _limits(curves: Curves) -> tuple:
    """Where most of the training is, not the first steps from chance on."""
    values = np.concatenate([list(c.values()) for c in curves.values()])
    top = values.max()
    bottom = np.quantile(values, 0.1)
    margin = max(1.0, 0.1 * (top - bottom))
    return max(0.0, bottom - margin), min(101.0, top + margin)
