# Copyright (c) mmdckd contributors. All rights reserved.
"""The metric that students are compared by, over a run."""

import os
import os.path as osp
from typing import List, Optional, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmdckd import names
from mmdckd.io.files import replacing
from mmdckd.visualization.style import (
    FEWEST_IMAGES,
    draw_line,
    legend_below,
    line_style,
    new_figure,
    tidy,
)

from .choice import Choice, best_point
from .curves import Curves, students_of
from .measures import ACCURACY, title_of, unit_of, written
from .panels import Room, room_for

#: From so many validations on, the second half of them has a panel of its own
#: where it takes less than a third of the axis.
_ENOUGH_TO_ZOOM, _SMALL_PART = 6, 3


def draw_curves(curves: Curves, path: Union[str, os.PathLike], title: str) -> None:
    """Write the figure of :func:`accuracy_figure` to a file.

    Args:
        curves (Dict[str, Dict[int, float]]): What
            :func:`~mmdckd.report.read_curves` returns; values in per cent.
        path (str | PathLike): The image to write; its ending is its format.
        title (str): What stands above.

    Raises:
        ValueError: If there is no student among the members.
    """
    best = best_point({name: curves[name] for name in students_of(curves)})
    figure = accuracy_figure(curves, best)
    figure.suptitle(title, fontsize=11)
    with replacing(str(path)) as beside:
        figure.savefig(beside, format=osp.splitext(path)[1][1:])


def accuracy_figure(
    curves: Curves,
    best: Optional[Choice],
    metric: str = ACCURACY,
    unit: str = 'epoch',
    room: Optional[Room] = None,
    images: Optional[int] = None,
) -> Figure:
    """Draw the metric of every member over the validations, on linear axes.

    Members look as in :func:`~mmdckd.visualization.style.line_style`, and the
    last value of each stands in the legend. Where later values can hardly be
    told apart, the second half of the validations has a panel of its own.

    Args:
        curves (Dict[str, Dict[int, float]]): Member to step to value.
        best (Choice, optional): What has a ring around it; None for nothing.
        metric (str): The metric. Defaults to top-1 accuracy.
        unit (str): What steps are. Defaults to ``'epoch'``.
        room (Room, optional): What to make room for. Defaults to None, the
            curves.
        images (int, optional): How many images it is measured on: fewer than
            20 make points, and no line. Defaults to None: enough.

    Raises:
        ValueError: If there is no student among the members.
    """
    students = students_of(curves)
    if not students:
        raise ValueError(
            'There is no student to draw: the run has validated '
            f'{sorted(curves) or "nothing"}.'
        )
    members = [name for name in curves if name not in (*students, names.BEST)]
    members = [*sorted(members, reverse=True), *students]
    steps = sorted({step for name in students for step in curves[name]})
    zoomed = steps[len(steps) // 2 :]
    own = _room(curves, members, steps)
    later = _room(curves, members, zoomed)
    zooms = len(steps) >= _ENOUGH_TO_ZOOM and (
        _SMALL_PART * (later.high - later.low) < own.high - own.low
    )
    figure = new_figure(7.2, 3.9)
    panels = figure.subplots(1, 1 + zooms, squeeze=False)[0]
    for axes, shown, needed in zip(panels, (steps, zoomed), (room or own, later)):
        for name in members:
            _draw_member(axes, name, curves[name], shown, students, metric, images)
        if best is not None and best.step in shown:
            _ring(axes, best, unit, metric)
        margin = 0.06 * (needed.high - needed.low) or 1.0
        axes.set_ylim(needed.low - margin, needed.high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel(unit)
        tidy(axes)
    sign = unit_of(metric)
    few = images is not None and images < FEWEST_IMAGES
    panels[0].set_ylabel(
        f'{title_of(metric)}, validation{f" ({sign})" if sign else ""}'
        + (f'\n{images} images: points, no lines' if few else '')
    )
    if zooms:
        panels[1].set_title(f'from {unit} {zoomed[0]}, on another axis', fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    legend_below(figure, dict(zip(labels, handles)), f'value in the last {unit}')
    return figure


def _draw_member(
    axes: Axes,
    name: str,
    curve: dict,
    shown: List[int],
    students: List[str],
    metric: str,
    images: Optional[int],
) -> None:
    label = f'{name}  {written(metric, curve[max(curve)], 2)}'
    values = [curve.get(step, np.nan) for step in shown]
    if names.role_of(name) == names.TEACHER and len(set(curve.values())) == 1:
        axes.axhline(curve[max(curve)], label=label, **line_style(name, students))
    else:
        draw_line(axes, shown, values, name, students, images, label=label)


def _ring(axes: Axes, best: Choice, unit: str, metric: str) -> None:
    name = '' if best.student == names.MODEL else f'{best.student}, '
    axes.plot(
        best.step,
        best.value,
        label=f'best: {name}{unit} {best.step}  {written(metric, best.value, 2)}',
        linestyle='none',
        marker='o',
        markersize=12,
        markerfacecolor='none',
        markeredgecolor='black',
    )


def _room(curves: Curves, members: List[str], steps: List[int]) -> Room:
    """What the values of members at some steps need room for."""
    values = (curves[m][s] for m in members for s in steps if s in curves[m])
    return room_for(values) or Room(0.0, 1.0, 0.5)
