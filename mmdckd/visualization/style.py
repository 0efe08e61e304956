# Copyright (c) mmdckd contributors. All rights reserved.
"""How figures look, so that a member looks alike in all of them."""

import io
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmdckd.names import ENSEMBLE, TARGET, role_of

#: The colors of Okabe and Ito (https://jfly.uni-koeln.de/color/), which
#: people with color blindness tell apart too.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
MARKERS = 'os^Dvp'
#: For 0 to the largest, and for differences: both keep their order in gray
#: (on either side of 0) and for people with color blindness.
SEQUENTIAL, DIVERGING = 'cividis', 'PuOr_r'
DPI = 150
#: A page shows figures as wide as they are, so 9 points are 12 pixels there,
#: which a reader can make out. No text is smaller.
SMALL = 9
#: A rate over fewer images is a point, not a part of a line.
FEWEST_IMAGES = 20
#: So many members have a panel, or a name in a legend; others are left out.
MOST_MEMBERS = 12


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches, with room for all it will hold."""
    figure = Figure((width, height), dpi=DPI, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def grid(
    count: int, columns: int, width: float, height: float, extra: float = 0.0
) -> Tuple[Figure, Sequence[Axes]]:
    """A figure of panels, row by row.

    Args:
        count (int): How many panels.
        columns (int): How many stand side by side, at most.
        width (float): The width of a panel in inches.
        height (float): The height of a panel in inches.
        extra (float): Width beside the panels in inches. Defaults to 0.

    Returns:
        Tuple[Figure, Sequence[Axes]]: The figure and its panels.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(columns * width + extra, rows * height)
    figure.set_layout_engine('constrained', w_pad=0.06, h_pad=0.09)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.axis('off')
    return figure, list(axes[:count])


def line_style(member: str, students: Sequence[str]) -> Dict[str, Any]:
    """How the line of a member looks.

    Students differ by color and by marker, so that a print in gray serves
    too, and from the seventh on by the dashes; the teacher is dashed black,
    the ensemble dotted gray, what is collected a line of dashes and dots.

    Args:
        member (str): Its name.
        students (Sequence[str]): The names of the students, in order.

    Returns:
        Dict[str, Any]: Arguments of :meth:`matplotlib.axes.Axes.plot`.
    """
    if member in students:
        round_, index = divmod(students.index(member), len(COLORS))
        return dict(
            color=COLORS[index],
            marker=MARKERS[(index + round_) % len(MARKERS)],
            linestyle=('-', '--', ':')[round_ % 3],
            markersize=4.5,
            linewidth=1.4,
        )
    if role_of(member) == ENSEMBLE:
        return dict(color='0.45', linestyle=':', linewidth=2.2)
    if role_of(member) == TARGET:
        return dict(color='0.3', linestyle='-.', linewidth=1.8)
    return dict(color='black', linestyle='--', linewidth=1.6)


def draw_line(
    axes: Axes,
    steps: Sequence[int],
    values: Sequence[float],
    member: str,
    students: Sequence[str],
    images: Optional[int] = None,
    **kwargs: Any,
) -> Line2D:
    """Draw the values of a member over steps.

    Args:
        axes (Axes): Where.
        steps (Sequence[int]): The steps.
        values (Sequence[float]): The values.
        member (str): The member's name; see :func:`line_style`.
        students (Sequence[str]): The names of the students, in order.
        images (int, optional): How many images a value is a rate over; fewer
            than :data:`FEWEST_IMAGES` are points. Defaults to None: enough.
        **kwargs: Arguments of :meth:`matplotlib.axes.Axes.plot`.

    Returns:
        Line2D: The line.
    """
    style = line_style(member, students)
    if member in students:
        # About eight markers a curve, not all curves' at the same steps.
        stride = max(1, len(steps) // 8)
        start = students.index(member) * stride // len(students)
        style['markevery'] = slice(start, None, stride)
    few = images is not None and images < FEWEST_IMAGES
    if few or len(steps) == 1:
        style.update(linestyle='none', markevery=None)
        style.setdefault('marker', '_')
    return axes.plot(steps, values, **style, **kwargs)[0]


def legend_below(
    figure: Figure,
    lines: Mapping[str, Any],
    title: Optional[str] = None,
    columns: int = 3,
) -> None:
    """Name lines below a figure, the first ones of many.

    Args:
        figure (Figure): The figure.
        lines (Mapping[str, Line2D]): Name to line.
        title (str, optional): What stands above. Defaults to None.
        columns (int): How many stand side by side, at most. Defaults to 3.
    """
    most = 2 * MOST_MEMBERS
    shown = dict(list(lines.items())[:most])
    if len(lines) > most:
        shown[f'and {len(lines) - most} more'] = Line2D([], [], linestyle='none')
    figure.legend(
        list(shown.values()),
        list(shown),
        title=title,
        loc='outside lower center',
        ncols=min(columns, len(shown)) or 1,
        frameon=False,
        fontsize=SMALL,
        title_fontsize=SMALL,
    )


def tidy(axes: Axes) -> None:
    """Leave what the eye needs: a light grid and two edges."""
    axes.grid(color='0.9')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def to_image(figure: Figure) -> np.ndarray:
    """The figure as RGB pixels (H, W, 3) in uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
