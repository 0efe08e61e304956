# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmdckd.evaluation import expected_calibration_error
from mmdckd.visualization.style import (
    COLORS,
    FEWEST_IMAGES,
    MOST_MEMBERS,
    SMALL,
    grid,
    legend_below,
    tidy,
)


def draw_reliability(arrays: Dict[str, np.ndarray]) -> Figure:
    """Draw accuracy against confidence for every member.

    There is a bar for each bin of confidence. Its height is the accuracy, and
    the gap to the diagonal, where accuracy equals confidence, is hatched. A bin
    with fewer than 20 images has a point instead of a bar. The gray area below is
    the share of the images in each bin. The title has the expected calibration
    error (see :class:`mmdckd.evaluation.PredictionSums`).

    Args:
        arrays (Dict[str, ndarray]): The result of
            :meth:`mmdckd.evaluation.CohortSums.arrays`.
    """
    bins = arrays['bins'][:MOST_MEMBERS]
    figure, panels = grid(len(bins), min(3, len(bins)), 2.4, 2.8)
    handles: Dict[str, object] = {}
    for axes, name, own in zip(panels, arrays['members'], bins):
        _draw_bins(axes, own)
        error = expected_calibration_error(own)
        axes.set_title(f'{name}\nECE {100 * error:.2f} %', fontsize=10)
        axes.set_xlabel('confidence', fontsize=SMALL)
        axes.set_ylabel('accuracy', fontsize=SMALL)
        axes.tick_params(labelsize=SMALL)
        tidy(axes)
        drawn, labels = axes.get_legend_handles_labels()
        for label, handle in zip(labels, drawn):
            handles.setdefault(label, handle)
    legend_below(figure, handles, columns=2)
    return figure


def _draw_bins(axes: Axes, bins: np.ndarray) -> None:
    width = 1 / len(bins)
    centers = (np.arange(len(bins)) + 0.5) * width
    count = bins[:, 0]
    accuracy, confidence = bins[:, 1:].T / np.maximum(count, 1)
    many, few = count >= FEWEST_IMAGES, (count > 0) & (count < FEWEST_IMAGES)
    if many.any():
        axes.bar(
            centers[many],
            accuracy[many],
            width * 0.92,
            color=COLORS[5],
            label='accuracy',
        )
        axes.bar(
            centers[many],
            (confidence - accuracy)[many],
            width * 0.92,
            bottom=accuracy[many],
            facecolor='none',
            edgecolor=COLORS[1],
            hatch='////',
            linewidth=0.8,
            label='confidence − accuracy',
        )
    axes.plot([0, 1], [0, 1], color='black', linewidth=1, linestyle='--')
    axes.bar(
        centers[count > 0],
        -0.25 * count[count > 0] / count.sum(),
        width * 0.92,
        color='0.55',
        label='share of the images (0 to 100 %)',
    )
    if few.any():
        axes.plot(
            centers[few],
            accuracy[few],
            linestyle='none',
            marker='o',
            markersize=4,
            markerfacecolor='white',
            markeredgecolor='0.35',
            label=f'accuracy of fewer than {FEWEST_IMAGES} images',
        )
    axes.set(xlim=(0, 1), ylim=(-0.25, 1.03))
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
