# Copyright (c) mmdckd contributors. All rights reserved.
"""Plot the statistics of validations over the epochs."""

import math
from itertools import cycle, product
from typing import Optional, Sequence

from matplotlib.figure import Figure

from .learned import STATISTICS, curve
from .lines import Line

COLUMNS = 4
STYLES = [
    dict(linestyle=style, color=f'C{color}')
    for style, color in product(('-', '--', ':'), range(10))
]


def label_of(name: str) -> str:
    """Return the label that shows a name as it is: Matplotlib reads text between
    dollars as a formula, and omits labels with an underscore first."""
    label = name.replace('$', r'\$')
    return f' {label}' if label.startswith('_') else label


def draw_curves(lines: Sequence[Line]) -> Optional[Figure]:
    """Draw the metric and every statistic by epoch, averaged over the seeds.

    Methods of a group, which differ in one setting only, are omitted, as there
    are too many to distinguish.

    Args:
        lines (Sequence[Line]): The methods with their records.

    Returns:
        Figure, optional: None if no run has stored its validations.
    """
    metric = lines[0].metric
    own = [line for line in lines if not line.method.group]
    panels = {
        title: [(line, curve(line, key)) for line in own]
        for title, key in {metric: metric, **STATISTICS}.items()
    }
    panels = {
        title: drawn for title, drawn in panels.items() if any(c for _, c in drawn)
    }
    if not panels:
        return None
    # One more panel, for the legend.
    rows = math.ceil((len(panels) + 1) / COLUMNS)
    figure = Figure((4.5 * COLUMNS, 3.2 * rows), layout='constrained')
    places = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes, (title, drawn) in zip(places, panels.items()):
        for (line, values), style in zip(drawn, cycle(STYLES)):
            axes.plot(
                list(values),
                list(values.values()),
                label=label_of(line.method.name),
                **style,
            )
        axes.set_title(title, fontsize='medium')
        axes.set_xlabel('epoch')
        axes.grid(alpha=0.3)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    places[len(panels)].legend(
        *places[0].get_legend_handles_labels(),
        loc='center',
        ncols=math.ceil(len(own) / 14),
    )
    return figure
