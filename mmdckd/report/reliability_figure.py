# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict

import numpy as np
from matplotlib.figure import Figure

from mmdckd.evaluation import expected_calibration_error
from mmdckd.visualization.style import COLOURS, grid, tidy


def draw_reliability(arrays: Dict[str, np.ndarray]) -> Figure:
    """Draw, for every member, how often it is right when it is how sure.

    A bar for each bin of confidence: its height is the accuracy, what lacks
    or is over to the diagonal, where accuracy is confidence, is hatched. The
    share of the images in each bin is the grey area below. The expected
    calibration error stands above (see
    :class:`mmdckd.evaluation.PredictionSums`).

    Args:
        arrays (Dict[str, ndarray]): What
            :meth:`mmdckd.evaluation.CohortSums.arrays` returns.
    """
    bins = arrays['bins']
    names = list(arrays['members'][: len(bins)])
    figure, panels = grid(len(names), 4, 2.6, 2.75)
    for axes, name, own in zip(panels, names, bins):
        used = own[:, 0] > 0
        width = 1 / len(own)
        centres = (np.arange(len(own)) + 0.5)[used] * width
        count, right, confidence = own[used].T
        accuracy, confidence = right / count, confidence / count
        axes.bar(centres, accuracy, width * 0.92, color=COLOURS[5], label='accuracy')
        axes.bar(
            centres,
            confidence - accuracy,
            width * 0.92,
            bottom=accuracy,
            facecolor='none',
            edgecolor=COLOURS[1],
            hatch='////',
            linewidth=0.8,
            label='confidence − accuracy',
        )
        axes.plot([0, 1], [0, 1], color='black', linewidth=1, linestyle='--')
        axes.bar(
            centres,
            -0.25 * count / own[:, 0].sum(),
            width * 0.92,
            color='0.55',
            label='share of the images (0 to 100 %)',
        )
        axes.set(xlim=(0, 1), ylim=(-0.25, 1))
        axes.set_yticks([0, 0.5, 1])
        error = expected_calibration_error(own)
        axes.set_title(f'{name}\nECE {100 * error:.2f} %', fontsize=9)
        axes.set_xlabel('confidence', fontsize=8)
        axes.set_ylabel('accuracy', fontsize=8)
        axes.tick_params(labelsize=7)
        tidy(axes)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    return figure
