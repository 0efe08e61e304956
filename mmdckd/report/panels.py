# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw values of every member over a run, one panel for each kind."""

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from mmdckd import names
from mmdckd.visualization.style import (
    FEWEST_IMAGES,
    SMALL,
    draw_line,
    grid,
    legend_below,
    tidy,
)

from .curves import Curves

#: If the largest value is this many times the median, the axis is logarithmic, and
#: its label says so: otherwise a few values would hide differences of the others.
WIDE = 20
#: A logarithmic axis starts at this fraction of the median, or above.
_LOWEST = 1e-3
#: The largest number of panels; others are omitted.
MOST_PANELS = 24


class Room(NamedTuple):
    """The range of values: the lowest, the highest and the median."""

    low: float
    high: float
    middle: float


def room_for(values: Iterable[float]) -> Optional[Room]:
    """Return the range of the finite values; None if there are none."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return None
    return Room(min(finite), max(finite), float(np.median(finite)))


class Panel(NamedTuple):
    """A panel of a figure.

    Attributes:
        title (str): Its title.
        unit (str): The unit of the values.
        curves (Dict[str, Dict[int, float]]): Member to step to value.
        room (Room, optional): The range of the axis. Defaults to None: that of
            the curves.
        images (int, optional): The number of images behind a rate; with fewer
            than 20, points are drawn instead of lines. Defaults to None: lines.
    """

    title: str
    unit: str
    curves: Curves
    room: Optional[Room] = None
    images: Optional[int] = None


def draw_panels(panels: Sequence[Panel], students: List[str], xlabel: str) -> Figure:
    """Draw panels with one legend.

    Args:
        panels (Sequence[Panel]): The panels; only the first 24 are drawn.
        students (List[str]): The names of the students, in order.
        xlabel (str): The unit of steps.
    """
    shown = panels[:MOST_PANELS]
    figure, places = grid(len(shown), min(2, len(shown)), 3.6, 2.7)
    handles: Dict[str, Line2D] = {}
    for axes, panel in zip(places, shown):
        for name, curve in panel.curves.items():
            steps, values = zip(*sorted(curve.items()))
            line = draw_line(axes, steps, values, name, students, panel.images)
            if names.role_of(name) in (names.ALL, names.COHORT) and len(steps) > 1:
                line.set_linestyle('-')
            handles.setdefault(name, line)
        few = panel.images is not None and panel.images < FEWEST_IMAGES
        note = f'\n{panel.images} images: points, no lines' if few else ''
        axes.set_title(panel.title + note, fontsize=10)
        axes.set_xlabel(xlabel, fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
        _scale(axes, panel)
        tidy(axes)
    handles.pop(names.ALL, None)
    left_out = len(panels) - len(shown)
    title = f'{left_out} more are not shown' if left_out else None
    legend_below(figure, handles, title)
    return figure


def _scale(axes: Axes, panel: Panel) -> None:
    """Choose the scale of an axis, and label it."""
    values = (value for curve in panel.curves.values() for value in curve.values())
    low, high, middle = panel.room or room_for(values) or Room(0.0, 1.0, 0.5)
    wide = low > 0 and high > WIDE * middle and panel.unit != '%'
    scale = 'log scale' if wide else ''
    axes.set_ylabel(', '.join(filter(None, [panel.unit, scale])), fontsize=SMALL)
    if wide:
        axes.set_yscale('log')
        low = max(low, _LOWEST * middle)
        axes.set_ylim(low / 1.2, high * 1.2)
        decades = np.log10(high / low)
        axes.yaxis.set_major_locator(
            LogLocator(subs=(1, 2, 5) if decades < 3 else (1,))
        )
        axes.yaxis.set_major_formatter('{x:g}')
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.05 * (high - low) or 0.05 * abs(high) or 0.01
        axes.set_ylim(low - room, high + room)
