# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest

from helpers.cohort_arrays import cohort_arrays
from mmdckd.evaluation import expected_calibration_error
from mmdckd.report.reliability_figure import draw_reliability


def test_bars_are_accuracy_and_what_lacks_to_the_confidence():
    arrays = cohort_arrays(count=600)
    figure = draw_reliability(arrays)
    drawn = [axes for axes in figure.axes if axes.containers]
    assert len(drawn) == len(arrays['bins']) == 4
    for axes, name, bins in zip(drawn, arrays['members'], arrays['bins']):
        many = bins[bins[:, 0] >= 20]
        accuracy, gap, share = (container.patches for container in axes.containers)
        np.testing.assert_allclose(
            [bar.get_height() for bar in accuracy], many[:, 1] / many[:, 0]
        )
        np.testing.assert_allclose(
            [bar.get_y() + bar.get_height() for bar in gap], many[:, 2] / many[:, 0]
        )
        assert -4 * sum(bar.get_height() for bar in share) == pytest.approx(1)
        error = 100 * expected_calibration_error(bins)
        assert axes.get_title() == f'{name}\nECE {error:.2f} %'


def test_a_rate_over_few_images_is_a_point():
    arrays = cohort_arrays(count=60)
    for axes, bins in zip(draw_reliability(arrays).axes, arrays['bins']):
        few = bins[(bins[:, 0] > 0) & (bins[:, 0] < 20)]
        assert len(few)
        points = axes.lines[-1]
        assert points.get_linestyle() == 'None'
        np.testing.assert_allclose(points.get_ydata(), few[:, 1] / few[:, 0])
