# Copyright (c) mmdckd contributors. All rights reserved.
"""The style of figures, so that a member looks the same in all of them."""

import io
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmdckd.names import ENSEMBLE, TARGET, role_of

#: The colors of Okabe and Ito (https://jfly.uni-koeln.de/color/), which are
#: distinct for people with color blindness.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
MARKERS = 'os^Dvp'
#: The color maps of values from 0 on and of differences. Both keep their order in
#: gray (on either side of 0) and for people with color blindness.
SEQUENTIAL, DIVERGING = 'cividis', 'PuOr_r'
DPI = 150
#: The smallest font size in points. A page shows figures unscaled, so 9 points
#: are 12 readable pixels.
SMALL = 9
#: A rate over fewer images is drawn as a point, not as part of a line.
FEWEST_IMAGES = 20
#: The largest number of members with a panel or legend entry; others are omitted.
MOST_MEMBERS = 12


def new_figure(width: float, height: float) -> Figure:
    """Create a figure of a size in inches, with a layout that fits its content."""
    figure = Figure((width, height), dpi=DPI, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def grid(
    count: int, columns: int, width: float, height: float, extra: float = 0.0
) -> Tuple[Figure, Sequence[Axes]]:
    """Create a figure of panels, row by row.

    Args:
        count (int): The number of panels.
        columns (int): The largest number of panels in a row.
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
    """Return the line style of a member.

    Students differ by color and marker, so that they are distinct in gray, too,
    and from the seventh on by dashes. The teacher is dashed black, the ensemble
    dotted gray, and a target has dashes and dots.

    Args:
        member (str): The member's name.
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
        axes (Axes): The axes to draw in.
        steps (Sequence[int]): The steps.
        values (Sequence[float]): The values.
        member (str): The member's name; see :func:`line_style`.
        students (Sequence[str]): The names of the students, in order.
        images (int, optional): The number of images behind a rate; below
            :data:`FEWEST_IMAGES`, points are drawn instead of a line. Defaults
            to None: a line.
        **kwargs: Arguments of :meth:`matplotlib.axes.Axes.plot`.

    Returns:
        Line2D: The line.
    """
    style = line_style(member, students)
    if member in students:
        # About eight markers on each curve, at different steps.
        stride = max(1, len(steps) // 8)
        start = students.index(member) * stride // len(students)
        style['markevery'] = slice(start, None, stride)
    few = images is not None and images < FEWEST_IMAGES
    if few or len(steps) == 1:
        style.update(linestyle='none', markevery=None)
        if 'marker' not in style:
            style.update(marker='_', markersize=16, markeredgewidth=2)
    return axes.plot(steps, values, **style, **kwargs)[0]


def legend_below(
    figure: Figure,
    lines: Mapping[str, Any],
    title: Optional[str] = None,
    columns: int = 3,
) -> None:
    """Add a legend below a figure, of the first lines if there are many.

    Args:
        figure (Figure): The figure.
        lines (Mapping[str, Line2D]): Name to line.
        title (str, optional): The title of the legend. Defaults to None.
        columns (int): The largest number of entries in a row. Defaults to 3.
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
    """Reduce axes to a light grid and two edges."""
    axes.grid(color='0.9')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)


def to_png(figure: Figure) -> bytes:
    """Render a figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def to_image(figure: Figure) -> np.ndarray:
    """Render a figure as RGB pixels (H, W, 3) in uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
