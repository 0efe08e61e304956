# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest

from helpers.cohort_arrays import cohort_arrays
from mmdckd.evaluation import expected_calibration_error
from mmdckd.report.reliability_figure import draw_reliability


def test_bars_are_accuracy_and_what_lacks_to_the_confidence():
    arrays = cohort_arrays()
    figure = draw_reliability(arrays)
    assert len(figure.axes) == len(arrays['bins']) == 4
    for axes, name, bins in zip(figure.axes, arrays['members'], arrays['bins']):
        used = bins[bins[:, 0] > 0]
        accuracy, gap, share = (container.patches for container in axes.containers)
        np.testing.assert_allclose(
            [bar.get_height() for bar in accuracy], used[:, 1] / used[:, 0]
        )
        np.testing.assert_allclose(
            [bar.get_y() + bar.get_height() for bar in gap], used[:, 2] / used[:, 0]
        )
        assert -4 * sum(bar.get_height() for bar in share) == pytest.approx(1)
        error = 100 * expected_calibration_error(bins)
        assert axes.get_title() == f'{name}\nECE {error:.2f} %'
