# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw the metric by which students are compared over a run."""

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

#: From this number of validations on, the second half gets its own panel if its
#: values cover less than a third of the axis.
_ENOUGH_TO_ZOOM, _SMALL_PART = 6, 3


def draw_curves(curves: Curves, path: Union[str, os.PathLike], title: str) -> None:
    """Write the figure of :func:`accuracy_figure` to a file.

    Args:
        curves (Dict[str, Dict[int, float]]): The result of
            :func:`~mmdckd.report.read_curves`, with values in percent.
        path (str | PathLike): The image to write; its extension determines the
            format.
        title (str): The title of the figure.

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

    The styles are those of :func:`~mmdckd.visualization.style.line_style`, and
    the legend has the last value of each member. If later values are hard to
    distinguish, the second half of the validations gets its own panel.

    Args:
        curves (Dict[str, Dict[int, float]]): Member to step to value.
        best (Choice, optional): The value marked with a ring; None for none.
        metric (str): The metric. Defaults to top-1 accuracy.
        unit (str): The unit of steps. Defaults to ``'epoch'``.
        room (Room, optional): The range of the axis. Defaults to None: that of
            the curves.
        images (int, optional): The number of images behind a value; with fewer
            than 20, points are drawn instead of lines. Defaults to None: lines.

    Raises:
        ValueError: If there is no student among the members.
    """
    students = students_of(curves)
    if not students:
        raise ValueError(
            'Invalid curves: expected at least one student, got '
            f'{sorted(curves) or "none"}.'
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
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
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
    """Return the range of the values of members at some steps."""
    values = (curves[m][s] for m in members for s in steps if s in curves[m])
    return room_for(values) or Room(0.0, 1.0, 0.5)
